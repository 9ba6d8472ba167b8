// The page works without this script. It shows the time, saves the draft, and sends the answer at the limit.
"use strict";
(() => {
  const form = document.getElementById("task");
  const text = document.getElementById("text");
  const saved = document.getElementById("saved");
  const pasted = document.getElementById("pasted");
  const shownAt = performance.now();
  const allowed = Number(form.dataset.left);
  let sent = false;
  let timer = null;

  const left = () => allowed - (performance.now() - shownAt) / 1000;

  async function saveDraft() {
    timer = null;
    if (sent) return;
    let kept = false;
    try {
      const body = new URLSearchParams({ text: text.value });
      const reply = await fetch(form.dataset.draft, { method: "POST", body, redirect: "manual" });
      // The server answers with a redirect, which is not followed here.
      kept = reply.type === "opaqueredirect";
    } catch {
      kept = false;
    }
    saved.textContent = kept ? saved.dataset.saved : saved.dataset.failed;
  }

  function tick() {
    const seconds = Math.max(0, Math.ceil(left()));
    const minutes = Math.floor(seconds / 60);
    document.getElementById("left").textContent = `${minutes}:${String(seconds % 60).padStart(2, "0")}`;
    if (seconds > 0) return;
    clearInterval(clock);
    document.getElementById("over").hidden = false;
    // An empty answer is not sent: the person may still write one, which is kept as late.
    if (!sent && text.value.trim() !== "") form.requestSubmit();
  }

  form.addEventListener("submit", () => { sent = true; });
  text.addEventListener("input", () => {
    saved.textContent = "";
    if (timer === null) timer = setTimeout(saveDraft, 2000);
  });
  text.addEventListener("paste", (event) => {
    const data = event.clipboardData ? event.clipboardData.getData("text") : "";
    pasted.value = String(Number(pasted.value) + data.length);
  });
  // A page from the browser's memory has an old clock and an old question.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  document.getElementById("save").hidden = true;
  document.getElementById("clock").hidden = false;
  const clock = setInterval(tick, 500);
  tick();
})();
