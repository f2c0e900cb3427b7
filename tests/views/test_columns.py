from typing import Any

from spikequant.views.columns import compared, implied, layers, variants
from spikequant.views.record import Record, parse


def test_all_variants_stand_in_order_of_emd_the_float_network_first(record: Record) -> None:
    table = variants(record)
    keys = [column.key for column in table.columns]
    emds = [row[keys.index("emd")] for row in table.rows]
    assert len(table.rows) == 21
    assert emds == sorted(emds, key=float)
    assert table.rows[0][keys.index("name")] == "float"
    assert {len(row) for row in table.rows} == {len(keys)}


def test_bits_and_floor_are_those_of_the_variant(document: dict[str, Any]) -> None:
    table = variants(parse(document))
    keys = [column.key for column in table.columns]
    rows = {row[0]: dict(zip(keys, row, strict=True)) for row in table.rows}
    for variant in document["variants"]:
        assert {key: rows[variant["name"]][key] for key in keys} == {key: variant[key] for key in keys}


def test_pairing_is_told_where_some_began_from_scratch(document: dict[str, Any]) -> None:
    assert "pairing" not in [column.key for column in variants(parse(document)).columns]
    document["variants"][0] |= {"scheme": "scratch", "pairing": "independent"}
    table = variants(parse(document))
    told = {row[0]: (row[-2], row[-1]) for row in table.cells()}
    assert table.columns[-1].key == "pairing"
    assert told.pop(document["variants"][0]["name"]) == ("from scratch", "independent")
    assert {pairing for _, pairing in told.values()} == {"–"}


def test_every_layer_of_every_variant_has_a_row(record: Record) -> None:
    chosen = {mark: variant.drift for mark, variant in zip("AB", record.variants, strict=False)}
    table = layers(chosen)
    keys = [column.key for column in table.columns]
    assert [(row[0], row[1]) for row in table.rows] == [(mark, layer.name) for mark in "AB" for layer in chosen[mark].layers]
    last = chosen["B"].layers[-1]
    assert table.rows[-1][keys.index("died")] == len(last.died)
    assert table.rows[-1][keys.index("emd_shape")] == last.emd_shape


def test_a_comparison_ends_with_the_whole_network(record: Record) -> None:
    drift = record.variants[0].drift
    table = compared(drift)
    last = dict(zip([column.key for column in table.columns], table.rows[-1], strict=True))
    assert (last["layer"], last["channels"], last["emd"]) == ("network", 112, drift.emd)
    assert (last["reference_mean_rate"], last["first_difference"]) == (drift.reference_mean_rate, None)


def test_what_every_name_says_is_implied(record: Record) -> None:
    said = tuple(v.model_copy(update={"name": f"{v.weights} {v.bits} bits, state {v.state}"}) for v in record.variants)
    assert "weights" in implied(record.model_copy(update={"variants": said}))
    assert implied(record.model_copy(update={"variants": (*said[1:], said[0].model_copy(update={"name": "best"}))})) == []
