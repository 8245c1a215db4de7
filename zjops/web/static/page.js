"use strict";

// The terminal measures its font once, when it starts, and starts when the page says that it has loaded: so the font
// comes first, then the terminal's script, and then it is told to begin.
const FONTS = ["", "bold ", "italic "].map((style) => `${style}15px "Roboto Mono"`);

function begin() {
  window.onload(new Event("load"));
  document.querySelector(".xterm-helper-textarea").focus();
}

window.addEventListener("load", async () => {
  document.getElementById("terminal").dataset.sessionWebsocketUrl = `ws://${location.host}/terminal`;
  await Promise.allSettled(FONTS.map((font) => document.fonts.load(font)));
  const script = document.createElement("script");
  script.src = "/static/textual.js";
  script.addEventListener("load", begin);
  document.head.append(script);
});
