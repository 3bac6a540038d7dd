//! Chromium, driven over its protocol for developers by two pipes: no port, no further program.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for an answer or a condition.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Option<String>,
    next: u64,
    events: VecDeque<Value>,
    /// Errors and warnings of the console, refused loads and exceptions.
    pub(crate) console: Vec<String>,
    /// Addresses that were asked for.
    pub(crate) requests: Vec<String>,
}

impl Browser {
    /// Starts a browser with a profile of its own.
    pub(crate) fn start(program: &Path, profile: &Path) -> Self {
        // The protocol is spoken on descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in answers.split(0) {
                let Ok(bytes) = message else { return };
                if let Ok(value) = serde_json::from_slice(&bytes)
                    && sender.send(value).is_err()
                {
                    return;
                }
            }
        });
        let (console, requests) = (Vec::new(), Vec::new());
        let mut browser = Self { child, to, from, session: None, next: 0, events: VecDeque::new(), console, requests };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Calls a method of the protocol.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(&[message.to_string().as_bytes(), &[0]].concat()).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            let message = self.receive(until).unwrap_or_else(|| panic!("{method} is not answered"));
            if message["id"] == self.next {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    fn receive(&mut self, until: Instant) -> Option<Value> {
        let message = self.from.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
        let of = &message["params"];
        match message["method"].as_str() {
            Some("Network.requestWillBeSent") => {
                self.requests.push(of["request"]["url"].as_str().unwrap_or_default().to_owned());
            }
            Some("Runtime.exceptionThrown") => self.console.push(of["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled")
                if ["error", "warning", "assert"].contains(&of["type"].as_str().unwrap_or_default()) =>
            {
                self.console.push(of["args"].to_string());
            }
            Some("Log.entryAdded")
                if ["error", "warning"].contains(&of["entry"]["level"].as_str().unwrap_or_default()) =>
            {
                self.console.push(of["entry"].to_string());
            }
            _ => {}
        }
        Some(message)
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) fn open(&mut self, address: &str) {
        self.events.clear();
        self.call("Page.navigate", &json!({ "url": address }));
        let until = Instant::now() + PATIENCE;
        let is_loaded = |message: &Value| message["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_loaded) {
            let message = self.receive(until).unwrap_or_else(|| panic!("{address} does not load"));
            self.events.push_back(message);
        }
    }

    /// The value of a JavaScript expression.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let result = self.call(
            "Runtime.evaluate",
            &json!({ "expression": expression, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until the page is loaded and an expression is true.
    pub(crate) fn wait(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        // A page that is just being replaced cannot answer, and one that loads has not run its scripts.
        let is_true = format!(
            "(() => {{ try {{ return document.readyState === 'complete' && Boolean({expression}) }} \
             catch {{ return false }} }})()"
        );
        while self.value(&is_true) != json!(true) {
            if Instant::now() > until {
                let page = self.value("document.body.innerText");
                panic!("waited in vain for {expression}: {page} {:?}", self.console);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Types text where the focus is.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", &json!({ "type": kind, "key": key, "code": key }));
        }
    }

    /// Moves the pointer to the middle of the first element that a selector finds.
    pub(crate) fn point_at(&mut self, selector: &str) {
        let place = self.middle(selector);
        self.call("Input.dispatchMouseEvent", &json!({ "type": "mouseMoved", "x": place[0], "y": place[1] }));
    }

    /// Clicks on the middle of the first element that a selector finds.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.middle(selector);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// The middle of the first element that a selector finds, brought into view.
    fn middle(&mut self, selector: &str) -> Value {
        self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ))
    }

    /// Sets the size of the window, and whether the system is dark.
    pub(crate) fn looks(&mut self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// What axe-core (its script is given) finds serious or critical: rule, and the first elements that break it.
    pub(crate) fn barriers(&mut self, axe: &str) -> Vec<String> {
        self.call("Runtime.evaluate", &json!({ "expression": axe }));
        let found = self.value(
            "axe.run({ resultTypes: ['violations'] }).then((found) => found.violations \
             .filter((rule) => ['serious', 'critical'].includes(rule.impact)) \
             .map((rule) => `${rule.id}: ` + rule.nodes.slice(0, 5).map((node) => node.html.slice(0, 160)).join(' | ')))",
        );
        found.as_array().unwrap().iter().map(|rule| rule.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Turns scripts on or off for pages that are opened from now on.
    pub(crate) fn scripts(&mut self, on: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !on }));
    }

    /// The page as it is printed, as PDF.
    pub(crate) fn printed(&mut self) -> Vec<u8> {
        let printed = self.call("Page.printToPDF", &json!({ "preferCSSPageSize": true }));
        base64::decode(printed["data"].as_str().unwrap()).unwrap()
    }

    /// The page as PNG.
    pub(crate) fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        base64::decode(picture["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A browser that is gone already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
