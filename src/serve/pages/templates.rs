//! The templates, which are part of the program. Whatever a record holds is escaped, and what terminals and browsers would
//! obey in it is spelt out.

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, context};

use sweep_core::plain;

const FILES: [(&str, &str); 12] = [
    ("base.html", include_str!("../templates/base.html")),
    ("chart.html", include_str!("../templates/chart.html")),
    ("compare.html", include_str!("../templates/compare.html")),
    ("control.html", include_str!("../templates/control.html")),
    ("definition.html", include_str!("../templates/definition.html")),
    ("landmarks.html", include_str!("../templates/landmarks.html")),
    ("picture.svg", include_str!("../templates/picture.svg")),
    ("refusal.html", include_str!("../templates/refusal.html")),
    ("sweep.html", include_str!("../templates/sweep.html")),
    ("sweeps.html", include_str!("../templates/sweeps.html")),
    ("table.html", include_str!("../templates/table.html")),
    ("trial.html", include_str!("../templates/trial.html")),
];

/// All templates.
pub(super) fn templates() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(spelt);
    for (name, text) in FILES {
        // A mistake in a template fails the test that renders all of them, and there alone.
        #[expect(clippy::expect_used, reason = "templates are part of the program")]
        environment.add_template(name, text).expect("a template is sound");
    }
    environment
}

/// Writes a value: text without characters that turn its direction or are obeyed otherwise.
fn spelt(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.kind() == ValueKind::String
        && !value.is_safe()
        && let Some(text) = value.as_str()
    {
        let text = text.lines().map(|line| plain::line(line)).collect::<Vec<_>>().join("\n");
        return minijinja::escape_formatter(out, state, &Value::from(text));
    }
    minijinja::escape_formatter(out, state, value)
}

/// The page that says why another is not shown.
pub(super) fn refusal(title: &str, text: &str) -> String {
    let environment = templates();
    let page = environment.get_template("refusal.html").and_then(|page| page.render(context! { title, text }));
    page.unwrap_or_else(|_| "The page cannot be shown.".to_owned())
}
