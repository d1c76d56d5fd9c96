// SPDX-License-Identifier: Apache-2.0
(() => {
  const token = document.body.dataset.token;
  const message = document.getElementById("message");
  const live = document.getElementById("live");
  let touched = false;

  const complain = (text) => {
    const box = document.createElement("div");
    box.className = "notice bad";
    box.textContent = text;
    message.replaceChildren(box);
    message.scrollIntoView({ block: "nearest" });
  };

  // What is far is said when it has changed, not every second.
  document.addEventListener("htmx:afterSwap", (event) => {
    const said = document.querySelector("[data-say]");
    if (said && live.textContent !== said.dataset.say) live.textContent = said.dataset.say;
    if (event.detail.target.id === "message") message.scrollIntoView({ block: "nearest" });
    const busy = document.getElementById("busy");
    if (busy && busy.dataset.version !== document.body.dataset.version && !touched) location.reload();
  });
  document.addEventListener("htmx:sendError", () => complain(
    "umed app does not answer. It has ended, or the computer slept: look at its terminal, and start it again there."));
  document.addEventListener("htmx:responseError", (event) => complain(
    event.detail.xhr.status === 403 ? "This page is not open any more. Press Enter in the terminal for a new link."
      : "umed app failed to answer. Look at its terminal, and load the page again."));
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.requestConfig.verb !== "get") message.replaceChildren();
  });
  document.addEventListener("htmx:confirm", (event) => {
    const question = event.detail.elt.dataset.ask;
    if (!question) return;
    event.preventDefault();
    if (confirm(question)) event.detail.issueRequest(true);
  });
  document.addEventListener("input", (event) => { if (event.target.closest("form")) touched = true; });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-fill], [data-copy], [data-reload]");
    if (!button) return;
    if ("reload" in button.dataset) {
      event.preventDefault();
      location.reload();
    } else if ("fill" in button.dataset) {
      const field = document.getElementById(button.dataset.fill);
      field.value = button.dataset.value;
      touched = true;
      field.parentElement.querySelector("details").open = false;
      field.focus();
    } else {
      try {
        await navigator.clipboard.writeText(button.dataset.copy);
        button.textContent = "Copied";
        live.textContent = "Copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(button.previousElementSibling);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
      }
    }
  });

  // A report in its sandbox tells how long it is, so that it needs no bar of its own to scroll.
  window.addEventListener("message", (event) => {
    const frame = [...document.querySelectorAll("iframe")].find((one) => one.contentWindow === event.source);
    const height = frame && event.data ? Number(event.data.umedHeight) : 0;
    if (height > 0) frame.style.height = `${Math.min(Math.max(height, 300), 20000)}px`;
  });

  // Which fields belong to which choice: a key is needed only where something is de-identified.
  const modes = document.querySelectorAll("input[name=mode]");
  const follow = () => {
    const chosen = document.querySelector("input[name=mode]:checked");
    document.querySelectorAll("[data-for=anonymize]").forEach((part) => { part.hidden = chosen.value === "protect"; });
  };
  modes.forEach((one) => one.addEventListener("change", follow));
  if (modes.length) follow();

  const drop = document.getElementById("drop");
  if (!drop) return;
  const state = document.getElementById("drop-state");
  const bar = document.getElementById("drop-bar");
  const ask = async (method, path, body) => {
    const answer = await fetch(drop.dataset.base + path, { method, body, headers: { "X-Umed-Token": token } });
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      throw new Error(page.body.textContent.trim());
    }
    return answer;
  };
  let name = null;  // of the drop that is under way
  const giveUp = () => {
    if (!name) return;
    fetch(`${drop.dataset.base}/drop/${name}`, { method: "DELETE", keepalive: true, headers: { "X-Umed-Token": token } })
      .catch(() => {});  // umed app has ended, and all copies with it
    name = null;
  };
  window.addEventListener("pagehide", giveUp);
  const send = async (files) => {
    if (!files.length) return complain("Nothing was dropped that can be read. Drop a folder with images and masks.");
    giveUp();
    let mine = null;
    try {
      mine = name = await (await ask("POST", "/drop")).text();
      bar.hidden = false;
      for (const [number, [path, file]] of files.entries()) {
        state.textContent = `Copying ${number + 1} of ${files.length} files`;
        bar.value = 100 * number / files.length;
        await ask("PUT", `/drop/${mine}?name=${encodeURIComponent(path)}`, file);
      }
      name = null;  // from here on it is the job's
      location.href = (await (await ask("POST", `/drop/${mine}/done`)).json()).next;
    } catch (error) {
      if (name !== mine) return;  // another drop took its place
      giveUp();
      bar.hidden = true;
      state.textContent = "";
      complain(error.message);
    }
  };
  const walk = async (entry, before, found) => {
    if (entry.isFile) {
      found.push([before + entry.name, await new Promise((take, fail) => entry.file(take, fail))]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {  // a reader gives a hundred entries at a time
      const some = await new Promise((take, fail) => reader.readEntries(take, fail));
      if (!some.length) break;
      for (const one of some) await walk(one, `${before}${entry.name}/`, found);
    }
  };
  document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((one) => one.webkitGetAsEntry()).filter(Boolean);
    const found = [];
    try {
      for (const one of entries) await walk(one, "", found);
    } catch (error) {
      return complain(`What was dropped cannot be read: ${error.message}`);
    }
    send(found);
  });
  document.getElementById("pick").addEventListener("change", (event) =>
    send([...event.target.files].map((file) => [file.webkitRelativePath || file.name, file])));
})();
