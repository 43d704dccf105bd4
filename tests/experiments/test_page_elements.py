"""The page as a file: what it holds and what it refers to."""

from page_elements import Page

from experiments.report.comparison import load_comparison
from experiments.report.page import build_page


def test_page_is_self_contained(small_study):
    html = build_page(small_study)
    page = Page(html)
    assert page.scripts == ["application/json", "module"]
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    anchors = {reference[1:] for reference in page.references if reference[0] == "#"}
    assert anchors == {"data", "detection", "explanations", "example-clips", "replacement", "training", "configuration"}
    assert anchors | {"explorer", "explorer-data"} == set(page.ids)
    assert "url(" not in html
    assert "@import" not in html
    assert len(html) < 3_000_000


def test_without_explanations_there_is_no_program(run_maker, tmp_path):
    folder = run_maker(f1=None, examples=False).write(tmp_path / "run")
    (folder / "fit" / "metrics.csv").unlink()
    page = Page(build_page(load_comparison([folder])))
    assert page.scripts == []
    assert page.ids == ["data", "detection", "configuration"]


def test_images_do_not_grow_with_the_number_of_models(run_maker, tmp_path):
    folders = [run_maker(("AE", "MAE")[i % 2]).write(tmp_path / f"run{i}") for i in range(8)]
    tags = Page(build_page(load_comparison(folders))).tags
    # Two static figures, ROC, learning curves, one clip and one replacement of four models.
    assert tags.count("img") == 4 + 4 + 4
