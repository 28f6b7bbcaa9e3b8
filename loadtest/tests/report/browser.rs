//! The page in a real browser: the verdict is there, nothing is fetched, and something is drawn.
//!
//! With `HOLDFAST_SCREENSHOTS` set to a folder, the screenshots stay there for whoever wants to look.

use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_loadtest::report::{Kind, write};

use crate::sample::Sample;

fn chromium() -> PathBuf {
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|name| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
    });
    found.expect("a Chromium on PATH (tests/run --prepare installs Debian's chromium)")
}

/// Opens a page, in a browser with a new and empty profile, and returns what it prints.
fn browse(page: &Path, arguments: &[String]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn page(sample: &Sample, folder: &Path) -> PathBuf {
    let path = folder.join("report.html");
    write(Kind::Html, &path, &sample.run()).unwrap();
    path
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("HOLDFAST_SCREENSHOTS").map_or(temporary.path().to_owned(), PathBuf::from);
    (temporary, folder)
}

#[test]
fn the_verdict_is_in_the_page() {
    let folder = tempfile::tempdir().unwrap();
    for (sample, standing, sentence) in [
        (Sample::held(), "held", "Held: the sale kept every promise that was checked"),
        (Sample::broken(), "broken", "Broken: the sale oversold"),
        (Sample::empty(), "unknown", "Unknown: the run was interrupted"),
    ] {
        let dom = browse(&page(&sample, folder.path()), &["--dump-dom".to_owned()]);
        let verdict = &dom[dom.find("id=\"verdict\"").unwrap()..];
        let tag = &verdict[..verdict.find('>').unwrap()];
        assert!(tag.contains(&format!("data-standing=\"{standing}\"")), "{tag}");
        let heading = &dom[dom.find("<h1>").unwrap()..dom.find("</h1>").unwrap()];
        assert!(heading.contains(sentence), "{heading}");
    }
}

#[test]
fn nothing_in_a_page_runs_or_comes_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let dom = browse(&page(&Sample::nasty(), folder.path()), &["--dump-dom".to_owned()]);
    assert_eq!(dom.matches("<script").count(), 1, "the page's own script, and none of the history's");
    for tag in ["<link", "<img", "<iframe", "src=", "@import", "url("] {
        assert!(!dom.contains(tag), "{tag}");
    }
}

#[test]
fn the_page_is_drawn() {
    let (_temporary, folder) = folder();
    for (name, sample) in [("held", Sample::held()), ("broken", Sample::broken())] {
        let page = page(&sample, &folder);
        for (scheme, extra) in [("light", None), ("dark", Some("--force-dark-mode"))] {
            for (width, height) in [(1_280_u32, 3_000_u32), (500, 5_000)] {
                let picture = folder.join(format!("{name}-{scheme}-{width}.png"));
                let mut arguments =
                    vec![format!("--screenshot={}", picture.display()), format!("--window-size={width},{height}")];
                arguments.extend(extra.map(|_| "--blink-settings=preferredColorScheme=0".to_owned()));
                browse(&page, &arguments);
                let pixels = decoded(&picture);
                assert_eq!((pixels.width, pixels.height), (width, height), "{name} {scheme}");
                let colours = pixels.colours();
                assert!(colours.len() > 50, "{name} {scheme} {width}: only {} colours", colours.len());
                let paper = pixels.rgb(2, height - 3);
                let bright = paper.iter().all(|part| *part > 200);
                assert_eq!(bright, scheme == "light", "{name} {scheme} {width}: the paper is {paper:?}");
            }
        }
    }
}

struct Pixels {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
    each: usize,
}

impl Pixels {
    fn rgb(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (y as usize * self.width as usize + x as usize) * self.each;
        [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2]]
    }

    fn colours(&self) -> std::collections::HashSet<&[u8]> {
        self.bytes.chunks_exact(self.each).collect()
    }
}

fn decoded(path: &Path) -> Pixels {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.bit_depth, png::BitDepth::Eight);
    Pixels { width: info.width, height: info.height, bytes, each: info.color_type.samples() }
}
