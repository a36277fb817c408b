#!/usr/bin/env python3
"""Checks report.html as a reader and their browser would: well-formed, nothing fetched, ids unique, every figure there and
with a text; in headless Chromium no error on the console, no request, no page wider than the window, all that scrolls
reached by the keyboard.

    page_check.py REPORT.html FIGURE... [--chromium PROGRAM] [--screenshots DIR]

Without --chromium the page is only parsed.  Prints what is wrong; the exit status is 1 then.
"""
import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

NAMESPACE = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = (1280, 400)
wrong = []


def expect(condition, what):
    if not condition:
        wrong.append(what)


# ---- the text ----

def check_references(root, ids):
    for element in root.iter():
        for name, value in element.attrib.items():
            name = name.split("}")[-1]
            if name in ("href", "src", "srcset", "data", "action", "poster"):
                expect(value.startswith("#") or value.startswith("data:"), f"{name} leads away: {value[:80]}")
                expect(not value.startswith("#") or value[1:] in ids, f"{name} leads nowhere: {value}")
            if name in ("aria-labelledby", "aria-describedby"):
                for one in value.split():
                    expect(one in ids, f"{name} of nothing: {one}")
            expect(not name.startswith("on"), f"a script in {name}")
            expect("url(http" not in value, f"{name} fetches {value[:80]}")


def check_tables(root):
    for box in root.iter(NAMESPACE + "div"):
        if any(child.tag == NAMESPACE + "table" for child in box):
            expect(box.get("tabindex") == "0" and box.get("aria-label"), "a table that no keyboard scrolls")
    for cell in root.iter(NAMESPACE + "th"):
        expect(cell.get("scope") in ("row", "col"), "a header of neither row nor column")


def check_figures(root, names):
    found = {figure.get("id"): figure for figure in root.iter(NAMESPACE + "figure")}
    expect(sorted(found) == sorted("figure-" + name for name in names), f"the figures are {sorted(found)}")
    for name, figure in found.items():
        drawings = list(figure.iter(SVG + "svg"))
        expect(len(drawings) == 1, f"{name}: {len(drawings)} drawings")
        for drawing in drawings:
            expect(drawing.get("role") == "img" and drawing.get("aria-labelledby"), f"{name}: nothing for who cannot see")
            expect(drawing.find(SVG + "title") is not None and drawing.find(SVG + "desc").text, f"{name}: no text")
            expect(len(list(drawing.iter(SVG + "path"))) > 5, f"{name}: nothing is drawn")
        caption = figure.find(NAMESPACE + "figcaption")
        expect(caption is not None and caption.text, f"{name}: no caption")


def check_text(path, names):
    text = path.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    expect(len(ids) == len(set(ids)), f"ids that occur twice: {sorted({i for i in ids if ids.count(i) > 1})[:5]}")
    check_references(root, set(ids))
    check_tables(root)
    check_figures(root, names)
    expect(root.get("lang"), "no language")
    expect(not list(root.iter(NAMESPACE + "script")), "a script")
    for tag in ("header", "nav", "main", "footer", "h1"):
        expect(len(list(root.iter(NAMESPACE + tag))) == 1, f"not one {tag}")
    expect("@import" not in text and "url(http" not in text, "the style fetches something")


# ---- the browser ----

class Browser:
    """Headless Chromium, spoken to through a pipe (its DevTools protocol, messages ended by NUL)."""

    def __init__(self, program, folder):
        to_read, self.out = os.pipe()
        self.incoming, to_write = os.pipe()
        os.set_inheritable(to_read, True)
        os.set_inheritable(to_write, True)
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "bash", program, "--headless", "--no-sandbox",
             "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             f"--user-data-dir={folder}", "--remote-debugging-pipe"],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.buffer, self.number, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def receive(self):
        while b"\0" not in self.buffer:
            more = os.read(self.incoming, 1 << 16)
            if not more:
                sys.exit("page_check: the browser ended")
            self.buffer += more
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit(f"page_check: {method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.receive())

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            sys.exit(f"page_check: {expression}: {result['exceptionDetails']}")
        return result["result"]["value"]

    def close(self):
        self.session = None
        try:
            self.call("Browser.close")
        except SystemExit:
            pass
        self.process.wait(timeout=30)


LAYOUT = """(() => {
    const page = document.documentElement, wide = e => e.scrollWidth > e.clientWidth + 1;
    const box = e => e.getBoundingClientRect();
    return {overflow: page.scrollWidth - page.clientWidth,
            outside: [...document.querySelectorAll('body *')].filter(e => !e.closest('.box, .drawing, .skip') &&
                     (box(e).right > page.clientWidth + 1 || box(e).left < -1)).map(e => e.tagName + '.' + e.className),
            hidden: [...document.querySelectorAll('figure svg')].filter(e => box(e).width < 200 || box(e).height < 100).length,
            stuck: [...document.querySelectorAll('.box, .drawing')].filter(e => wide(e) && e.tabIndex < 0).length,
            small: [...document.querySelectorAll('p, dd, td, th, figcaption')]
                   .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length};
})()"""
FOCUS = """(() => { const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
    return {what: e.tagName + (e.getAttribute('href') || e.getAttribute('aria-label') || ''),
            seen: s.outlineStyle !== 'none' && box.width > 0 && box.right > 0}; })()"""


def check_keyboard(browser):
    """Tab goes through everything that can be reached, each time with an outline."""
    count = browser.value("document.querySelectorAll('a[href], summary, [tabindex=\"0\"]').length")
    reached = set()
    for _ in range(count):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        focus = browser.value(FOCUS)
        reached.add(focus["what"])
        expect(focus["seen"], f"no focus to be seen on {focus['what']}")
    expect(len(reached) == count, f"Tab reaches {len(reached)} of {count}")


def check_layout(browser, width):
    layout = browser.value(LAYOUT)
    expect(layout["overflow"] <= 0, f"{width}: the page is {layout['overflow']} pixels too wide")
    expect(not layout["outside"], f"{width}: outside of the page: {layout['outside'][:5]}")
    for what in ("hidden", "stuck", "small"):
        expect(layout[what] == 0, f"{width}: {layout[what]} elements {what}")


def screenshot(browser, path):
    size = browser.call("Page.getLayoutMetrics")["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    shot = browser.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
    path.write_bytes(base64.b64decode(shot["data"]))


def check_events(browser, url):
    for event in browser.events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            fetched = params["request"]["url"]
            expect(fetched == url or fetched.startswith("data:"), f"it fetches {fetched[:100]}")
        expect(method != "Runtime.exceptionThrown", "an exception")
        expect(method != "Runtime.consoleAPICalled", "something on the console")
        if method == "Log.entryAdded":
            expect(False, f"the browser says: {params['entry']['text'][:200]}")


def check_in_browser(program, page, screenshots):
    url = page.resolve().as_uri()
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(program, folder)
        for domain in ("Page", "Runtime", "Log", "Network"):
            browser.call(domain + ".enable")
        for width in WIDTHS:
            browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
            for scheme in ("light", "dark"):
                browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
                browser.events = [e for e in browser.events if e.get("method") != "Page.loadEventFired"]
                browser.call("Page.navigate", url=url)
                browser.wait_for("Page.loadEventFired")
                check_layout(browser, width)
                if screenshots:
                    screenshot(browser, screenshots / f"{width}-{scheme}.png")
            check_keyboard(browser)
        check_events(browser, url)
        browser.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("figures", nargs="*")
    parser.add_argument("--chromium")
    parser.add_argument("--screenshots", type=pathlib.Path)
    options = parser.parse_args()
    check_text(options.page, options.figures)
    if options.chromium:
        check_in_browser(options.chromium, options.page, options.screenshots)
    for line in wrong[:20]:
        print(f"{options.page}: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
