//! A headless Chromium, driven through chromedriver.

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use modq_testkit::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tokio::runtime::Runtime;

/// A browser with one window, which ends when this is dropped.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Child,
}

/// Starts chromedriver, and answers its port. With port 0 it takes a free one of IPv4 and then wants the same of
/// IPv6; if another program has that, it says so and ends. Then it is started again.
#[track_caller]
fn start_driver() -> (Child, u16) {
    let mut said = Vec::new();
    for _ in 0..10 {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("no chromedriver ({e}); run: scripts/setup.sh --console"));
        let mut lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        for line in lines.by_ref().map_while(Result::ok) {
            let port = line.split("started successfully on port ").nth(1);
            if let Some(port) = port.and_then(|p| p.trim_end_matches('.').parse().ok()) {
                std::thread::spawn(move || lines.for_each(drop));
                return (driver, port);
            }
            said.push(line);
        }
        // Its output has ended, and so has it, or it is of no use.
        let _ = driver.kill();
        let _ = driver.wait();
    }
    panic!("chromedriver tells its port; it said: {said:#?}");
}

impl Browser {
    /// With a window of this size.
    #[track_caller]
    pub fn open(width: u32, height: u32) -> Browser {
        let (driver, port) = start_driver();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--hide-scrollbars",
            // A name that no browser takes for this machine, as it does 127.0.0.1 and localhost.
            "--host-resolver-rules=MAP console.test 127.0.0.1",
        ];
        let size = format!("--window-size={width},{height}");
        let args: Vec<&str> = args.into_iter().chain([size.as_str()]).collect();
        let capabilities = json!({ "goog:chromeOptions": { "args": args }, "goog:loggingPrefs": { "browser": "ALL" } });
        let capabilities = capabilities.as_object().cloned().expect("a map");
        let connecting = async {
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities)
                .connect(&format!("http://127.0.0.1:{port}"))
                .await
        };
        let client = runtime.block_on(connecting).expect("Chromium starts");
        Browser {
            runtime,
            client,
            driver,
        }
    }

    #[track_caller]
    pub fn goto(&self, url: &str) {
        self.runtime
            .block_on(self.client.goto(url))
            .unwrap_or_else(|e| panic!("{url}: {e}"));
    }

    /// Signs in by name.
    #[track_caller]
    pub fn sign_in(&self, console: &super::Console, name: &str) {
        self.goto(&console.url("/login"));
        self.type_into("input[name=name]", name);
        self.click("form.card button");
        self.wait_for(".me");
    }

    /// What a script answers; it gets the arguments as `arguments`.
    #[track_caller]
    pub fn js(&self, script: &str, args: &[&str]) -> Value {
        let args = args.iter().map(|a| Value::from(*a)).collect();
        self.runtime
            .block_on(self.client.execute(script, args))
            .unwrap_or_else(|e| panic!("{script}: {e}"))
    }

    pub fn is_there(&self, css: &str) -> bool {
        self.runtime
            .block_on(self.client.find(Locator::Css(css)))
            .is_ok()
    }

    #[track_caller]
    pub fn wait_for(&self, css: &str) {
        wait_until(
            &format!("there is {css} on {}", self.address()),
            PATIENCE,
            || self.is_there(css),
        );
    }

    /// Waits until the words are on the page where this is.
    #[track_caller]
    pub fn wait_text(&self, css: &str, words: &str) {
        wait_until(
            &format!("“{words}” is in {css}; it has “{}”", self.text(css)),
            PATIENCE,
            || self.text(css).contains(words),
        );
    }

    /// The text of the first such element; empty if there is none.
    pub fn text(&self, css: &str) -> String {
        let script = "const e = document.querySelector(arguments[0]); return e ? e.innerText : ''";
        self.js(script, &[css])
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        let click = async { self.client.find(Locator::Css(css)).await?.click().await };
        self.runtime
            .block_on(click)
            .unwrap_or_else(|e| panic!("click {css}: {e}"));
    }

    #[track_caller]
    pub fn type_into(&self, css: &str, text: &str) {
        let typing = async {
            self.client
                .find(Locator::Css(css))
                .await?
                .send_keys(text)
                .await
        };
        self.runtime
            .block_on(typing)
            .unwrap_or_else(|e| panic!("type into {css}: {e}"));
    }

    /// Presses keys where the focus is.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let pressing = async { self.client.active_element().await?.send_keys(keys).await };
        self.runtime
            .block_on(pressing)
            .unwrap_or_else(|e| panic!("press {keys}: {e}"));
    }

    pub fn address(&self) -> String {
        self.runtime
            .block_on(self.client.current_url())
            .map(|u| u.to_string())
            .unwrap_or_default()
    }

    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        self.runtime
            .block_on(self.client.set_window_size(width, height))
            .expect("another size");
    }

    /// A picture of the window, PNG.
    #[track_caller]
    pub fn screenshot(&self) -> Vec<u8> {
        self.runtime
            .block_on(self.client.screenshot())
            .expect("a picture")
    }

    /// Whether a dialog of a script has come up (alert, confirm).
    pub fn has_alert(&self) -> bool {
        self.runtime.block_on(self.client.get_alert_text()).is_ok()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
