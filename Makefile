# What this project needs done, from nothing but Python 3.11+ and make. README has the same as plain pip commands.
# An environment's stamp is touched last, so an interrupted install is done again.

VENV := .venv
PINS := pyproject.toml constraints/cpu.txt
# The first Python that is new enough; or say which: make PYTHON=/path/to/python
PYTHON = $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))

.PHONY: help env demo test bench chaos docs picture

help:
	@echo "make demo   install into $(VENV), run the demo, say where its report lies"
	@echo "make env    install into $(VENV) with the test tools"
	@echo "make test   make env, then all tests but marked ones (10 minutes on 2 cores); .ci/run adds those"
	@echo "make docs   make env with the manual's tools, then the manual: docs/_build/html/index.html"
	@echo "make picture  draw README's picture anew, from a run of the demo; needs chromium"
	@echo "make chaos  make env, then the whole reliability campaign (about two hours); CHAOS holds its options: make chaos CHAOS='--seed 3'"
	@echo "make bench  make env with the peers, then every benchmark; BENCH holds its options: make bench BENCH='--rounds 7 --save'"

demo: $(VENV)/plain.stamp
	$(VENV)/bin/python -m spikequant demo

env: $(VENV)/test.stamp

test: env
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -q

docs: $(VENV)/docs.stamp
	$(VENV)/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

CHROMIUM = chromium
picture: $(VENV)/plain.stamp
	$(VENV)/bin/python -m spikequant demo --out runs/picture
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1100,900 \
		--screenshot=docs/static/report.png file://$(CURDIR)/runs/picture/report.html

chaos: env
	@for part in fuzz steps mutants kills; do $(VENV)/bin/python -m chaos $$part $(CHAOS) || exit 1; done

bench: $(VENV)/peers.stamp
	@for script in gpu lif weights squat_step sew_step sew18_step evaluation state_quant emd ptq_grid stdp; do $(VENV)/bin/python benchmarks/$$script.py $(BENCH) || exit 1; done

$(VENV)/peers.stamp: constraints/peers.txt $(VENV)/test.stamp
	$(VENV)/bin/python -m pip install --no-deps -r constraints/peers.txt
	@touch $@

$(VENV)/plain.stamp: EXTRA =
$(VENV)/test.stamp: EXTRA = [test]
$(VENV)/docs.stamp: EXTRA = [test,docs]
$(VENV)/plain.stamp $(VENV)/test.stamp $(VENV)/docs.stamp: $(PINS) | $(VENV)/bin/pip
	$(VENV)/bin/python -m pip install -c constraints/cpu.txt -e ".$(EXTRA)"
	@touch $@

$(VENV)/bin/pip:
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
		echo "error: Python 3.11 or newer is needed and none is on the path; name one: make PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "error: this Python cannot make environments; install python$$version-venv (Debian, Ubuntu: apt install python$$version-venv)" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$python; the installation takes about 1.4 GB with a CPU build of torch"; \
	"$$python" -m venv $(VENV)
