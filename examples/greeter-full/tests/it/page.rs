//! The admin page in a real browser.

use crate::world::{Process, curl, foreign, free_port, front, greeter, until};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A browser, spoken to by [WebDriver](https://www.w3.org/TR/webdriver2/).
struct Browser {
    session: String,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let port = free_port();
        let driver = Process::start(&foreign("PURLIN_CHROMEDRIVER"), 0, [format!("--port={port}")]);
        let base = format!("http://127.0.0.1:{port}");
        until("the driver is ready", || {
            (curl(&[&format!("{base}/status")]).0 == 200).then_some(())
        });
        let profile = tempfile::tempdir().unwrap();
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": foreign("PURLIN_CHROMIUM"), "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--window-size=1200,1500", profile_flag,
            ]},
        }}});
        let answer = post(&format!("{base}/session"), &capabilities);
        let id = answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        Self { session: format!("{base}/session/{id}"), _driver: driver, _profile: profile }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        post(&format!("{}/{path}", self.session), body)
    }

    /// What a script returns.
    fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a script returns something true.
    fn until(&self, what: &str, script: &str) {
        until(what, || self.run(script).as_bool().filter(|it| *it));
    }

    /// Shows the page as a screen of this width would.
    fn width(&self, pixels: u32) {
        let size =
            json!({"width": pixels, "height": 1500, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": size});
        self.post("goog/cdp/execute", &command);
    }

    /// What is seen, as the bytes of a PNG in base64.
    fn screenshot(&self) -> String {
        let (status, body) = curl(&[&format!("{}/screenshot", self.session)]);
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        answer["value"].as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is the driver's child: it ends when it is told to.
        let _ = curl(&["--request", "DELETE", &self.session]);
    }
}

fn post(url: &str, body: &Value) -> Value {
    let body = body.to_string();
    let (status, answer) =
        curl(&["--header", "content-type: application/json", "--data", &body, url]);
    assert_eq!(status, 200, "{url} {answer}");
    serde_json::from_str::<Value>(&answer).unwrap()["value"].clone()
}

#[test]
fn foreign_a_browser_shows_charts_and_a_breaker_that_opens() {
    let greeter = greeter();
    let front = front(&greeter, &["--enable-actions", "--open-for", "60s"]);
    let (http, debug) = (front.address("HTTP"), front.address("debug"));
    let greet = |times| {
        for _ in 0..times {
            curl(&[&format!("http://{http}/greeting?name=Ann")]);
        }
    };
    greet(10);

    let browser = Browser::start();
    browser.post("url", &json!({"url": format!("http://{debug}/")}));
    let charts = "return document.querySelectorAll('#traffic svg').length >= 2 \
                  && document.querySelectorAll('#calls tbody tr.call').length >= 10";
    browser.until("the charts are drawn", charts);
    let bars = "return Array.from(document.querySelectorAll('#traffic rect.bar')) \
                .some(bar => bar.getBoundingClientRect().height > 20)";
    browser.until("the durations have bars", bars);
    assert_eq!(browser.run("return document.querySelectorAll('.layer.alarm').length"), 0);

    // The way of a call through its layers, by the keyboard.
    browser.run(
        "const row = document.querySelector('tr.call'); \
         row.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'})); return 0",
    );
    browser.until(
        "a call is opened",
        "return document.querySelectorAll('.timeline rect').length >= 3",
    );

    // A fault, set from the page as a person would.
    browser.run(
        "const form = document.getElementById('action-inject-fault'); \
         form.elements['code'].value = 'UNAVAILABLE'; form.requestSubmit(); return 0",
    );
    let done = "return document.querySelector('#action-inject-fault output').textContent \
                === 'calls suffer it for 60s'";
    browser.until("the fault is set", done);
    // More than half of the last calls have to fail.
    greet(14);
    let open = "return Array.from(document.querySelectorAll('.layer.alarm b')) \
                .some(it => it.textContent === 'circuitbreaker ⚠ open')";
    browser.until("the breaker is seen to be open", open);
    let failed = "return document.querySelectorAll('tr.call.failed').length >= 5";
    browser.until("the failed calls are seen", failed);

    // Who sees no colour sees dashes and words.
    let dashed =
        "return getComputedStyle(document.querySelector('polyline.failed')).strokeDasharray";
    assert_ne!(browser.run(dashed), "none");
    let kept = browser.screenshot();
    assert!(kept.len() > 20_000, "{}", kept.len());
    if let Some(path) = std::env::var_os("PURLIN_SCREENSHOT") {
        fs::write(Path::new(&path), &kept).unwrap();
    }

    browser.width(400);
    let fits = "return document.documentElement.scrollWidth <= 400";
    browser.until("it fits 400 pixels", fits);
    browser.until("it still shows the alarm", open);

    let log = browser.post("se/log", &json!({"type": "browser"}));
    let errors: Vec<_> =
        log.as_array().unwrap().iter().filter(|it| it["level"] == "SEVERE").collect();
    assert!(errors.is_empty(), "{errors:?}");
}
