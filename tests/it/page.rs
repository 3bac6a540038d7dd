//! The report's page in a browser, if one is installed: what readers see, point at, follow, enlarge and print.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::browser::Browser;
use crate::harness::Sandbox;

const DEFINITION: &str = r#"
name = "page"
question = "Does <b>it</b> render & stay silent?"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "smooth-l1"]
[trial]
epochs = 2
batch_size = 2
dataset = { name = "phantom", train = 4, val = 3, height = 60, width = 48 }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
"#;

/// The page's elements after its script ran, and the console's messages.
fn open(browser: &Path, page: &Path, profile: &Path) -> (String, Vec<String>) {
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), console)
}

#[test]
fn the_page_renders_without_a_word_on_the_console() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.toml"), DEFINITION).unwrap();
    let sweep = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_sweep")).current_dir(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    sweep(&["run", "page.toml", "--quiet"]);
    sweep(&["report", "results/page", "--output", "published", "--without-images"]);
    let page = folder.path().join("results/page/report/index.html");
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("Does &lt;b&gt;it&lt;") && !text.contains("Does <b>"), "the question is not escaped");
    // Nothing is loaded from elsewhere: every address is inside the page or a `data:` URL.
    for attribute in ["src=\"", "href=\"", "url("] {
        for (at, _) in text.match_indices(attribute) {
            let value = &text[at + attribute.len()..];
            assert!(value.starts_with('#') || value.starts_with("data:"), "{}", &value[..60.min(value.len())]);
        }
    }
    assert!(text.contains("id=\"figure-overlays\" class=\"photo\">") && text.contains("<section class=\"answer"));
    let published = fs::read_to_string(folder.path().join("published/index.html")).unwrap();
    assert!(!published.contains("class=\"photo\"") && !folder.path().join("published/overlays.png").exists());

    let Some(browser) = sweep_testing::chromium() else { return };
    let (elements, console) = open(&browser, &page, &folder.path().join("profile"));
    assert!(console.is_empty(), "{console:?}");
    // The heads of the sortable table become buttons only when the script runs.
    assert!(elements.contains("<button type=\"button\" title=\"Sort\">"), "the script did not run");
    assert_eq!(elements.matches("<figure").count(), text.matches("<figure").count());

    // Messages of the console are detected: a page with an error fails.
    let broken = folder.path().join("broken.html");
    fs::write(&broken, text.replace("<script>", "<script>absent();")).unwrap();
    let (_, console) = open(&browser, &broken, &folder.path().join("other-profile"));
    assert!(!console.is_empty(), "an error on the console went unheard");
}

/// The page of a small sweep, and where it lies.
fn reported() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--jobs", "1", "--threads", "1", "--quiet"]);
    let page = sandbox.path("results/page/report/index.html");
    (sandbox, page)
}

/// How many of the elements that a selector finds a reader sees at full strength.
fn strong(selector: &str) -> String {
    format!(
        "[...document.querySelectorAll({selector:?})].filter((e) => getComputedStyle(e).opacity === '1' \
         && getComputedStyle(e).display !== 'none').length"
    )
}

#[test]
fn rows_curves_and_overlays_lead_to_each_other_with_and_without_scripts() {
    let Some(program) = sweep_testing::chromium() else { return };
    let (sandbox, page) = reported();
    let mut browser = Browser::start(&program, &sandbox.path("profile"));
    let (axe, mut barriers) = (sweep_testing::axe_core(), Vec::new());
    let address = format!("file://{}", page.display());
    let count = |selector: &str| format!("document.querySelectorAll({selector:?}).length");
    for scripts in [true, false] {
        browser.scripts(scripts);
        browser.looks(1280, 900, false);
        browser.open(&address);
        assert_eq!(browser.value("document.documentElement.scrollWidth <= 1280"), json!(true));
        // A row stands out with its curves, and the others fade.
        let [own, other] = ["figure a.c0:not(.layer)", "figure a.c1:not(.layer)"];
        let all = browser.value(&count(own));
        assert!(all.as_u64().unwrap() > 4 && browser.value(&strong(own)) == all, "{all}");
        assert_ne!(browser.value(&strong(other)), json!(0));
        browser.point_at(".answer tr.c0 td");
        browser.wait(&format!("{} === 0", strong(other)));
        assert_eq!(browser.value(&strong(own)), all);
        // A row leads to its curve and to its predictions, and a curve to its row.
        browser.click(".answer tr.c0 .jump a[href='#landmark-error']");
        browser.wait("location.hash === '#landmark-error'");
        browser.click(".answer tr.c0 .jump a[href='#overlays']");
        browser.wait("location.hash === '#overlays'");
        browser.click("#figure-landmark-error a.c1 circle.spot");
        browser.wait("location.hash === '#configuration-1' && document.querySelector('tr.c1:target')");
        // Predictions of a configuration are hidden and shown.
        let layers = strong("#figure-overlays a.layer.c1");
        // The jump may leave the pointer on another configuration, which fades this one.
        browser.point_at("h1");
        browser.wait(&format!("{layers} > 0"));
        browser.click("input.layer-1");
        browser.wait(&format!("{layers} === 0"));
        // A figure is enlarged and closed again.
        browser.click("#figure-landmark-error .enlarge");
        browser.wait("document.querySelector('#figure-landmark-error svg').getBoundingClientRect().width > 1100");
        browser.click("#figure-landmark-error .close");
        browser.wait("document.querySelector('#figure-landmark-error svg').getBoundingClientRect().width < 1000");
        // Values are there to point at; with a script they show at once.
        let value = "#figure-landmark-error circle.spot";
        assert!(browser.value(&count(value)).as_u64().unwrap() >= 4);
        if scripts {
            browser.point_at(value);
            browser.wait("!document.querySelector('#tip').hidden && / epoch \\d+: [\\d.]+ mm/.test(document.querySelector('#tip').textContent)");
            browser.value("location.hash = '#figure-effects'");
            browser.press("Escape");
            browser.wait("location.hash === '#effects'");
        } else {
            let title = browser.value(&format!("document.querySelector('{value} title').textContent"));
            assert!(title.as_str().unwrap().contains(" epoch "), "{title}");
        }
        // On a phone nothing is wider than the screen but what scrolls by itself.
        for dark in [false, true] {
            browser.looks(390, 844, dark);
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(browser.value("document.documentElement.scrollWidth <= 390"), json!(true));
        }
        if let Some(axe) = axe.as_deref().filter(|_| scripts) {
            for (width, dark) in [(390, true), (390, false), (1280, false), (1280, true)] {
                browser.looks(width, 900, dark);
                let found = browser.barriers(axe).into_iter();
                barriers.extend(found.map(|rule| format!("{width} wide, dark: {dark}: {rule}")));
            }
        }
        let printed = browser.printed();
        assert!(printed.starts_with(b"%PDF") && printed.len() > 20_000, "{}", printed.len());
    }
    assert_eq!(barriers, Vec::<String>::new(), "axe-core");
    assert_eq!(browser.console, Vec::<String>::new());
    let foreign: Vec<&String> =
        browser.requests.iter().filter(|at| !at.starts_with(&address) && !at.starts_with("data:")).collect();
    assert!(foreign.iter().all(|at| *at == "about:blank"), "{foreign:?}");
}
