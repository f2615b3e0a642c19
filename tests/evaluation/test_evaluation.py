import json
import re
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from planted import FRACTIONS, planted_evaluation

from routing_assets.evaluation import writing
from routing_assets.evaluation.figures import draw_curves, draw_reliability
from routing_assets.evaluation.page.headline import headline
from routing_assets.evaluation.terminal import gain_rows
from routing_assets.evaluation.verdict import place_to_route
from routing_assets.evaluation.writing import write_evaluation

CURVE_COLUMNS = {"dataset", "seed", "policy", "budget_fraction", "success", "relative_success", "cost", "cost_fraction"}


@pytest.fixture(scope="module")
def evaluation():
    return planted_evaluation()


@pytest.fixture(scope="module")
def written(evaluation, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "script", lambda _: "draw()")
        folder = tmp_path_factory.mktemp("evaluation")
        return write_evaluation(evaluation, folder, folder)


def test_writes_its_files_and_nothing_else(written):
    assert set(written) == {
        "curves.parquet",
        "summary.json",
        "summary.txt",
        "fine_print.txt",
        "page.html",
        "curves.png",
        "reliability.png",
    }
    directory = written["curves.png"].parent
    assert {path.name for path in directory.iterdir()} == set(written)
    assert written["curves.png"].read_bytes().startswith(b"\x89PNG")


def test_curves_hold_one_row_per_seed_policy_and_feasible_budget(written):
    table = pq.read_table(written["curves.parquet"])
    assert set(table.column_names) >= CURVE_COLUMNS
    frame = table.to_pandas()
    assert not frame.duplicated(["seed", "policy", "budget_fraction"]).any()
    mip = frame[frame.policy == "mip"]
    assert sorted(mip.budget_fraction.unique()) == list(FRACTIONS[1:])  # 5 % pays for no model
    np.testing.assert_allclose(frame[frame.policy == "best_single"].relative_success, 1.0)
    assert (mip.cost_fraction <= mip.budget_fraction + 1e-8).all()


def test_the_page_says_the_verdict_first_and_has_the_numbers_of_the_summary(evaluation, written):
    page, gains = written["page.html"].read_text(), evaluation.verdict.gains
    headline = page[page.index('<p class="headline">') :].split("</p>")[0]
    assert "Route: " in headline
    here = place_to_route(gains, evaluation.verdict.budgets)
    assert here["budget_fraction"] in evaluation.verdict.budgets
    assert f"{here['budget_fraction']:.0%}" in headline
    assert f"{here['mip']:.0%}" in headline
    for row in gain_rows(gains):
        assert "".join(f"<td>{cell}</td>" for cell in list(row.values())[1:]) in page
    assert all(f"<td>{policy}</td>" in page for policy in evaluation.policies)
    curve = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', page)[0])
    drawn = [layer["data"]["values"] for layer in curve["layer"] if layer["mark"].get("strokeWidth") == 3]
    mip = evaluation.summary["policies"]["mip"]["curve"]
    assert [value["relative_success"] for value in drawn[0]] == [cell["relative_success"] for cell in mip]
    assert all(line in page for line in ("<h2", "The fine print", "prefers-color-scheme"))


def test_nothing_is_recommended_where_routing_does_not_pay():
    verdict = {"text": "Do not route: MIP gains less than half a point at every budget.", "budgets": [], "gains": []}
    assert place_to_route(verdict["gains"], verdict["budgets"]) is None
    assert headline(verdict, None) == verdict["text"]


def test_the_cheapest_budget_that_keeps_enough_is_recommended():
    gains = [
        {"budget_fraction": f, "mip": mip, "fixed_mixture": mip - gain, "gain": gain}
        for f, mip, gain in ((0.1, 0.8, 0.1), (0.4, 0.96, 0.03), (0.7, 0.99, 0.02))
    ]
    here = place_to_route(gains, [0.1, 0.4])
    assert here["budget_fraction"] == 0.4
    said = headline({"text": "", "budgets": [0.1, 0.4], "gains": gains}, here)
    assert "Route: 40%" in said
    assert "keeps 96%" in said
    assert "Above 40%, mixing is not clearly worse." in said


def test_summary_is_plain_json_with_intervals_around_the_estimates(written):
    summary = json.loads(written["summary.json"].read_text())
    for cell in summary["policies"]["mip"]["curve"]:
        low, high = cell["relative_success_interval"]
        assert low - 1e-9 <= cell["relative_success"] <= high + 1e-9
    assert summary["infeasible_budget_fractions"]["mip"] == [0.05]
    better, worse = (summary["policies"][name]["aiq_paper"]["estimate"] for name in ("mip", "random"))
    gain = summary["differences"]["mip - random"]["aiq_paper"]
    assert gain["estimate"] == pytest.approx(better - worse)
    assert 0 < gain["interval"][0] < gain["estimate"] < gain["interval"][1]
    assert {row["model"] for row in summary["per_model"]} == {"large", "middle", "small"}
    assert sum(row["mip_traffic"]["0.4"] for row in summary["per_model"]) == pytest.approx(1.0)
    assert set(summary["calibration"]) == {"raw", "scaled", "calibrated", "decision"}


def test_keeping_95_percent_is_cheaper_with_better_policies(evaluation):
    kept = {
        name: evaluation.policies[name]["budget_fraction_to_keep_95_percent"]["estimate"]
        for name in ("oracle", "mip", "random", "best_single")
    }
    assert kept["oracle"] <= kept["mip"] < kept["random"]
    assert kept["best_single"] is None


def test_verdict_says_route_where_predictions_help(evaluation):
    assert evaluation.verdict.route
    assert evaluation.verdict.text.startswith("Route at budgets of")
    assert evaluation.verdict.text.count(". ") == 0  # one sentence
    assert "planted (simulated)" in evaluation.verdict.fine_print
    assert [row["budget_fraction"] for row in evaluation.verdict.gains] == list(FRACTIONS[1:])
    for row in evaluation.verdict.gains:
        assert row["mip"] - row["fixed_mixture"] == pytest.approx(row["gain"])
    assert set(evaluation.verdict.budgets) <= set(FRACTIONS[1:])
    assert 0.4 in evaluation.verdict.budgets
    assert "A budget of 5% or less cannot pay for the batch" in evaluation.verdict.fine_print


def test_verdict_says_do_not_route_where_they_do_not():
    blind = planted_evaluation(seeds=2, informed=False, simulated=False, n=300)
    assert not blind.verdict.route
    assert blind.verdict.text.startswith("Do not route: ")
    assert blind.verdict.budgets == ()


def test_too_few_unrelated_test_instructions_give_no_verdict():
    few = planted_evaluation(seeds=2, n=300)
    related = [replace(seed, component=np.arange(300) % 4 + 4 * i) for i, seed in enumerate(few.seeds)]
    verdict = replace(few, seeds=related).verdict
    assert not verdict.route
    assert verdict.text == ("Cannot be judged: the test splits hold 8 unrelated instructions, fewer than 30.")


def test_the_verdict_rules_out_a_gain_only_where_intervals_do():
    wide, narrow = (planted_evaluation(seeds=2, informed=False, n=n).verdict.text for n in (40, 8_000))
    assert "too few to rule one out" in wide
    assert "rule one out" not in narrow


@pytest.mark.slow
def test_success_bought_by_overspending_is_not_a_gain():
    """Only long instructions need the dear model, which takes more tokens for them than mean prices assume."""
    evaluation = planted_evaluation(seeds=2, token_costs=True, dear_for_long=True, n=1000)
    curves = evaluation.mean_curves
    spent = curves.cost_fraction[0, curves.of("mip")]
    assert spent[3] > 1.2 * FRACTIONS[3]
    at_budget, at_spend = (curves.of(name) for name in ("zero_router", "zero_router_same_spend"))
    aware = curves.of("mip_token_aware")
    np.testing.assert_allclose(
        curves.cost_fraction[0, at_spend, 1:-1], np.fmax(FRACTIONS, curves.cost_fraction[0, aware])[1:-1], rtol=0.02
    )
    assert (curves.relative[0, at_spend, 2:] >= curves.relative[0, at_budget, 2:] - 1e-9).all()
    gains = evaluation.summary["differences"]["mip_token_aware - zero_router_same_spend"]["by_budget"]
    naive = evaluation.summary["differences"]["mip - zero_router"]["by_budget"]
    assert gains[2]["difference"] < naive[2]["difference"] - 0.02
    assert set(evaluation.verdict.budgets) <= {row["budget_fraction"] for row in gains if row["interval"][0] > 0}


def test_the_words_say_where_splits_differ_in_their_best_model(evaluation):
    first, *others = evaluation.seeds
    swapped = replace(first, success=first.success[:, [1, 0, 2]])
    text = replace(evaluation, seeds=[swapped, *others]).verdict.fine_print
    assert "Best single model, in hindsight: the best of each test split, most often large, at" in text
    assert "Best single model, in hindsight: large, at" in evaluation.verdict.fine_print


def test_token_aware_spend_is_reported():
    evaluation = planted_evaluation(token_costs=True, n=300)
    assert "MIP with token-aware costs beats the best fixed mixture" in evaluation.verdict.text
    assert "with the safety margin" in evaluation.verdict.fine_print
    cell = evaluation.policies["mip_token_aware"]["curve"][0]
    assert 0.9 < cell["predicted_spend_over_budget"] <= 1.0
    assert 0.3 < cell["forecast_overspend_probability"] < 0.6


def test_table_names_the_data_as_simulated_and_dashes_what_is_infeasible(evaluation):
    text = evaluation.table()
    assert "planted (simulated)" in text
    assert all(name in text for name in ("best_single", "zero_router", "ndch_p", "oracle"))
    assert evaluation.verdict.text in text
    calibrated = evaluation.calibration["calibrated"]
    assert f"{calibrated['log_loss']:.4f}" in text
    assert f"{calibrated['ece']:.4f}" in text
    assert evaluation.table().count("mip_safe") == 0  # costs are known here
    assert "–" in next(line for line in text.splitlines() if line.startswith("best_single"))


def test_a_failing_writer_leaves_neither_half_a_file_nor_a_remnant(evaluation, tmp_path, monkeypatch):
    def broken(_, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(writing, "draw_curves", broken)
    monkeypatch.setattr(writing, "script", lambda _: "draw()")
    with pytest.raises(OSError, match="disk full"):
        write_evaluation(evaluation, tmp_path, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "curves.parquet",
        "summary.json",
        "summary.txt",
        "fine_print.txt",
        "page.html",
    }


@pytest.mark.parametrize(("n", "solved"), [(12, 1), (20, 1), (11, 0), (22, 0)])
def test_bins_in_which_all_or_none_succeed_are_drawn(n, solved, tmp_path):
    """Rounding may put the end of a Wilson interval on the wrong side of a rate of 0 or 1, by 1e-16."""
    one = planted_evaluation(seeds=1, n=n)
    pure = np.full_like(one.seeds[0].success, solved)
    flat = dict.fromkeys(("raw", "scaled", "calibrated", "decision"), np.full_like(pure, 0.45))
    same = replace(one, seeds=[replace(one.seeds[0], success=pure, probabilities=flat)])
    draw_reliability(same, tmp_path / "reliability.png")
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_with_dollar_signs_is_not_a_formula(tmp_path):
    named = replace(planted_evaluation(seeds=1, n=12), dataset=r"$\frac$")
    for draw in (draw_curves, draw_reliability):
        draw(named, tmp_path / "figure.png")


def test_a_table_of_few_rows_and_rare_successes_is_still_plain_json(tmp_path, monkeypatch):
    few = planted_evaluation(seeds=2, n=12)
    rare = np.zeros_like(few.seeds[0].success)
    rare[3, 0] = rare[5, 1] = 1
    monkeypatch.setattr(writing, "script", lambda _: "draw()")
    sparse = replace(few, seeds=[replace(seed, success=rare) for seed in few.seeds])
    written = write_evaluation(sparse, tmp_path, tmp_path)
    summary = json.loads(written["summary.json"].read_text(), parse_constant=pytest.fail)
    assert summary["seeds"] == [0, 1]
