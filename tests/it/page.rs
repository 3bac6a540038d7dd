//! The report's page in a browser, if one is installed: it renders, its script runs, and the console stays empty.

use std::fs;
use std::path::Path;
use std::process::Command;

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
    assert!(text.contains("<figure class=\"photo\">") && text.contains("<section class=\"answer"));
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
