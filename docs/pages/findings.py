"""What each paper says, judged by its own table and by our committed records."""

from pages.results import RESULTS, wide
from spikequant.search import judge, paper_claims, paper_noise, paper_rows, papers, with_gains
from spikequant.studies import study_rows
from spikequant.views.claims import verdicts
from spikequant.views.tables import markdown

HEAD = """# What the papers found, and what we found

Each claim of a paper is data: an effect between rows of a table, with bounds. It is held against the paper's own table, and against the
records that are committed here; the intervals of all cases hold together with 95 % (decision 0020). *undecided* means that the rows are too
few or too noisy to say, *no rows* that nothing of the kind was run. `spikequant claims PAPER --rows FOLDER` prints the same. Which papers
these are: [studies](../studies.md#the-papers).
"""


def pages() -> dict[str, str]:
    """One page: a table for each paper and each study of ours that stands on it."""
    return {"papers.md": "\n\n".join([HEAD, *(section(paper) for paper in papers())]) + "\n"}


def section(paper: str) -> str:
    """The verdicts on one paper's claims, by its own table and by each committed study of its name."""
    asked, printed = paper_claims(paper), paper_rows(paper)
    own = [judge(claim, printed, lambda measure, scale: paper_noise(paper, measure, scale)) for claim in asked]
    parts = [f"## {paper}"]
    studies = [folder for folder in sorted(RESULTS.glob(f"{paper}*")) if any(folder.glob("*.json"))]
    if not studies:
        parts += ["No study of ours on this paper is committed as records yet.", wide(markdown(verdicts({"paper": own})))]
    for folder in studies:
        rows = with_gains(paper, study_rows(folder))
        ours = [judge(claim, rows) for claim in asked]
        parts += [f"Ours: [{folder.name}](results/{folder.name}.md).", wide(markdown(verdicts({"paper": own, "ours": ours})))]
    return "\n\n".join(parts)
