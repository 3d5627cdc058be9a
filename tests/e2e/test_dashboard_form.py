"""The form of a new audit: only its button launches one, and every mistake is told beside its field in plain words."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.e2e.browser import KEY, QUICK, finished, opened

PROGRAMMERS_WORDS = re.compile(r"\^\(|\$|GET /|q=|Bearer|ZOOAUDIT_|_px|_deg|num_images|\.0\b|should|urn:|Input")
FIELDS = ("model", "weights", "dataset", "num_images", "translations_px", "rotations_deg", "direction", "reflections")
FIELDS += ("similarity", "border", "precision", "baseline", "tolerance", "seed", "repetition", "priority")
FIELDS += ("warp_translation", "warp_rotation", "warp_scale", "warp_shear", "deformation", "deformation_cutoff")
FIELDS += ("local", "consistency_draws", "variance")


@pytest.fixture
def posted(page) -> Iterator[list[str]]:
    """The bodies of all audits that the page has asked for; that it asks what one would cost is no such request."""
    bodies: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST" and not request.url.endswith("/audit?dry_run=true"):
            bodies.append(request.post_data)

    page.on("request", note)
    page.goto("/")
    expect(page.get_by_label("Data set")).to_contain_text("synthetic")
    page.locator("details").evaluate("(node) => node.open = true")
    return bodies


def model_field(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Model")


def launch(page: Page) -> None:
    page.get_by_role("button", name="Audit", exact=True).click()


def test_enter_in_any_field_launches_nothing_and_leads_to_the_button(page, posted):
    model_field(page).fill(QUICK)
    for name in FIELDS[1:]:
        page.locator(f"[name={name}]").press("Enter")
        expect(page.locator(f"[name={name}]")).not_to_be_focused()
    button = page.get_by_role("button", name="Audit", exact=True)
    expect(button).to_be_focused()
    page.locator("[name=num_images]").press("Enter")
    expect(button).to_be_focused()
    assert posted == []
    model_field(page).fill("")
    button.press("Enter")  # which is what launches, or says what is missing
    expect(page.locator(".model-field .mistake")).to_have_text("Say which model, such as resnet50.")
    assert posted == []


def test_enter_chooses_a_model_and_moves_on(page, posted):
    model = model_field(page)
    model.press("Enter")  # shows what there is
    expect(page.get_by_role("option").first).to_be_visible()
    model.press_sequentially("test_resnet")
    expect(page.get_by_role("option", name=QUICK)).to_be_visible()
    model.press("Enter")
    expect(model).to_have_value(QUICK)
    expect(page.get_by_label("Weights")).to_be_focused()
    expect(page.get_by_role("listbox")).to_be_hidden()
    model.press("Enter")  # of a name that is chosen already
    expect(model).to_have_value(QUICK)
    expect(page.get_by_label("Weights")).to_be_focused()
    model.fill("test_vit")
    expect(page.get_by_role("option").first).to_contain_text("test_vit")
    second = page.get_by_role("option").nth(1).get_attribute("data-name")
    model.press("ArrowDown")
    model.press("ArrowDown")
    model.press("Enter")
    expect(model).to_have_value(second)
    assert posted == []


def test_enter_waits_for_the_names_that_are_still_loading(page, posted):
    held: list[Route] = []
    page.route("**/models?*", lambda route: held.append(route))
    model = model_field(page)
    with page.expect_request("**/models?*"):
        model.fill("test_resnet")
        model.press("Enter")
    expect(model).to_be_focused()
    expect(model).to_have_value("test_resnet")
    for route in held:
        route.continue_()
    expect(model).to_have_value(QUICK)
    expect(page.get_by_label("Weights")).to_be_focused()
    assert posted == []


def test_enter_without_a_match_stays_and_says_so(page, posted):
    model = model_field(page)
    model.fill("no such model")
    model.press("Enter")
    expect(page.get_by_text("No model has such a name.")).to_be_visible()
    model.press("Enter")
    expect(model).to_be_focused()
    expect(model).to_have_value("no such model")
    page.route("**/models?*", lambda route: route.abort())
    model.fill("test_resnet")
    model.press("Enter")  # the names cannot be loaded; the form works without them
    expect(page.get_by_label("Weights")).to_be_focused()
    expect(model).to_have_value("test_resnet")
    assert posted == []


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("model", "a b!", "at most one slash"),
        ("model", "qqqqqqqq", "Type a part of its name"),
        ("num_images", "0", "whole number from 1 to 100,000"),
        ("num_images", "2.5", "whole number from 1 to 100,000"),
        ("seed", "-1", "whole number from 0 to"),
        ("tolerance", "0", "above 0"),
        ("repetition", "10000", "from 0 to 9,999"),
        ("translations_px", "1,1", "each once"),
        ("translations_px", "8-1", "such as 1,2,8 or 1-32"),
        ("translations_px", "many", "such as 1,2,8 or 1-32"),
        ("translations_px", "128", "that timm/test_vit"),
        ("rotations_deg", "45", "90, 180 and 270"),
    ],
)
@pytest.mark.usefixtures("posted")
def test_a_mistake_is_told_beside_its_field_in_plain_words(page, field, value, told):
    model_field(page).fill("timm/test_vit.r160_in1k")
    page.get_by_label("Weights").select_option("untrained")
    page.locator(f"[name={field}]").fill(value)
    if (field, value) == ("translations_px", "128"):
        entry = {"type": "urn:zooaudit:problem:shift-too-large", "title": "Shift too large", "status": 422}
        detail = "A shift of 128 pixels leaves nothing of the 100 pixels that timm/test_vit sees."
        page.route("**/audit", lambda route: route.fulfill(status=422, json=entry | {"detail": detail}))
    launch(page)
    mistake = page.locator(".field, label").filter(has=page.locator(f"[name={field}]")).locator(".mistake")
    expect(mistake).to_contain_text(told)
    expect(page.locator(f"[name={field}]")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#submit-error")).to_contain_text("The audit was not started. Please look at:")
    assert not PROGRAMMERS_WORDS.search(page.locator("#submit").inner_text())
    model_field(page).fill("")
    launch(page)
    expect(page.locator(".mistake")).to_have_text(["Say which model, such as resnet50."])  # the earlier one is gone


@pytest.mark.usefixtures("posted")
def test_mistakes_of_several_fields(page):
    page.get_by_label("Weights").select_option("checkpoint")
    model_field(page).fill(QUICK)
    launch(page)
    expect(page.locator("#checkpoint-label .mistake")).to_contain_text("begins with a letter or a digit")
    page.locator("[name=checkpoint]").fill("nowhere")
    launch(page)
    expect(page.locator("#checkpoint-label .mistake")).to_contain_text("No checkpoint is called so")
    page.get_by_label("Weights").select_option("untrained")
    page.get_by_label("Baseline").select_option("1")
    launch(page)
    expect(page.locator("label", has_text="Baseline").locator(".mistake")).to_contain_text("the baseline themselves")
    page.get_by_label("Baseline").select_option("")
    page.locator("[name=translations_px]").fill("none")
    page.locator("[name=rotations_deg]").fill("none")
    launch(page)
    expect(page.locator("label", has_text="Shifts").locator(".mistake")).to_contain_text(
        "at least one shift, rotation, reflection or warp"
    )
    page.locator("[name=translations_px]").fill("500")
    page.locator("[name=rotations_deg]").fill("45")
    page.locator("[name=num_images]").fill("0")
    launch(page)
    expect(page.locator("#submit-error")).to_contain_text("Images · Shifts, px · Rotations, °")
    expect(page.locator(".mistake")).to_have_count(3)
    expect(page.locator("[name=num_images]")).to_be_focused()
    assert not PROGRAMMERS_WORDS.search(page.locator("#submit").inner_text())


@pytest.mark.parametrize(
    ("status", "slug", "detail", "headers", "told"),
    [
        (429, "too-many", "Too many audits are queued for this key.", {}, "Wait until some of your audits have ended"),
        (413, "body-too-large", "A request has at most 65536 bytes.", {}, "The request is too long."),
        (503, "unavailable", "The disk is full.", {"Retry-After": "5"}, "The disk is full. Try again in 5 s."),
        (418, "of-tomorrow", "A teapot <b>cannot</b> audit", {}, "A teapot <b>cannot</b> audit."),
        (502, "", "", {}, "The service answered 502."),
    ],
)
@pytest.mark.usefixtures("posted")
def test_what_concerns_no_field_is_told_at_the_foot(page, status, slug, detail, headers, told):
    problem = {"type": f"urn:zooaudit:problem:{slug}", "title": "Title", "status": status, "detail": detail}
    answer = {"json": problem} if slug else {"body": "<h1>Bad gateway</h1>"}
    page.route("**/audit", lambda route: route.fulfill(status=status, headers=headers, **answer))
    model_field(page).fill(QUICK)
    launch(page)
    expect(page.locator("#submit-error")).to_contain_text(
        f"The audit was not started. {detail if status == 429 else told}"
    )
    expect(page.locator("#submit-error")).to_contain_text(told)
    expect(page.locator(".mistake")).to_have_count(0)


def test_the_cost_follows_what_is_filled_in(page, client, posted):
    audit = finished(client, seed=5, num_images=16)  # of five transforms, in one pass
    cost = page.locator("#cost")
    model_field(page).fill("test_resnet")
    page.get_by_label("Weights").select_option("untrained")
    page.get_by_label("Data set").select_option("synthetic")
    page.locator("[name=rotations_deg]").fill("90")
    page.locator("[name=num_images]").fill("80")
    page.locator("[name=translations_px]").fill("1,2")
    expect(cost).to_have_text(
        re.compile(r"^320 forward images, about \d.* on this service’s workers, by an audit of the same model\.$")
    )
    page.locator("[name=num_images]").fill("0")
    expect(cost).to_have_text("The cost is told once this is right: Images")  # what is wrong, when the form is sent
    expect(page.locator(".mistake")).to_have_count(0)
    page.locator("[name=num_images]").fill("80")
    page.locator("[name=tolerance]").fill("0.02")
    expect(cost).to_contain_text(re.compile(r"^At most 320 forward images, at most about "))
    page.locator("[name=tolerance]").fill("")
    page.get_by_label("Border").select_option("all")
    expect(cost).to_contain_text(re.compile(r"^At least 640 forward images, about "))
    model_field(page).fill("no such model")
    expect(cost).to_be_empty()
    assert not PROGRAMMERS_WORDS.search(page.locator("#submit").inner_text())

    page.get_by_label("Border").select_option("crop")
    page.locator("[name=rotations_deg]").fill("")
    page.locator("[name=num_images]").fill("16")
    page.locator("[name=seed]").fill("5")
    model_field(page).fill("test_res")
    expect(page.get_by_role("option", name=QUICK)).to_be_visible()
    page.get_by_role("option", name=QUICK).click()
    expect(cost).to_have_text("This audit has a report already. Asking for it again costs nothing.")
    page.locator("[name=seed]").fill("6")
    link = cost.get_by_role("link", name="an audit of the same model")
    expect(link).to_be_visible()
    assert posted == []
    held: list[Route] = []
    page.route("**/audit?dry_run=true", lambda route: held.append(route))
    with page.expect_request("**/audit?dry_run=true"):
        page.locator("[name=num_images]").fill("5")
    launch(page)  # which does not wait for the cost
    expect(page.locator("#detail h1")).to_contain_text(QUICK)
    assert len(posted) == 1
    assert held
    assert audit.id != client.status(page.url.partition("audit=")[2]).id


def test_a_cost_that_needs_a_key_asks_for_none(browser, service):
    with opened(browser, service.url, key=None) as page:
        page.goto("/")
        expect(page.get_by_label("Data set")).to_contain_text("synthetic")
        with page.expect_response("**/audit?dry_run=true") as answer:
            model_field(page).fill(QUICK)
        assert answer.value.status == 401
        expect(page.get_by_role("dialog", name="API key")).to_be_hidden()
        expect(page.locator("#cost")).to_be_empty()
        launch(page)
        expect(page.get_by_role("dialog", name="API key")).to_be_visible()


def needs_key(route: Route) -> None:
    """Refuse whatever comes without the key, as a service does that also lets nobody read without one."""
    if route.request.headers.get("authorization") == f"Bearer {KEY}":
        route.continue_()
    else:
        detail = "This needs an API key: send it as 'Authorization: Bearer KEY'."
        problem = {"type": "urn:zooaudit:problem:unauthorized", "title": "API key needed", "status": 401}
        route.fulfill(status=401, json=problem | {"detail": detail})


def test_reads_that_need_a_key_ask_for_it_once(browser, service, client):
    audit = finished(client)
    with opened(browser, service.url, key=None) as page:
        for path in ("audit", "audit?*", "audit/**", "health", "models**"):
            page.route(f"**/{path}", needs_key)
        page.goto("/")
        dialog = page.get_by_role("dialog", name="API key")
        expect(dialog).to_contain_text("This needs an API key")
        assert not PROGRAMMERS_WORDS.search(dialog.inner_text())
        dialog.get_by_role("button", name="Not now").click()
        offline = page.locator("#offline")
        expect(offline).to_contain_text("This needs an API key")
        with page.expect_response("**/audit?*"):
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(dialog).to_be_hidden()  # it was declined
        offline.get_by_role("button", name="Enter the key").click()
        key = dialog.get_by_label("API key")
        key.fill("ключ")
        key.press("Enter")
        expect(dialog).to_be_visible()  # no header can carry that
        key.fill("wrong")
        key.press("Enter")
        expect(dialog).to_contain_text("does not accept the one that you gave")
        key.fill(f" {KEY} ")
        key.press("Enter")
        expect(offline).to_be_hidden()
        expect(page.locator("#health")).to_contain_text("worker")
        page.locator(f"#audits a[href$='{audit.id}']").click()
        expect(page.locator("#detail [data-figure=depth] .main-svg").first).to_be_visible()
        with page.expect_download() as download:
            page.get_by_role("link", name="JSON").click()
        assert audit.id in download.value.path().read_text("utf-8")
