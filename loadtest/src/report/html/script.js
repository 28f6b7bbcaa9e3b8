// Reads out the values under the pointer. Everything is there without it.
"use strict";
for (const plot of document.querySelectorAll(".plot")) {
  const data = JSON.parse(plot.dataset.values);
  const canvas = plot.querySelector(".canvas");
  const cursor = plot.querySelector(".cursor");
  const values = plot.querySelectorAll(".legend .value");
  const at = plot.querySelector(".legend .at");
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const across = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 0.9999);
    const step = Math.floor(across * data.steps);
    data.series.forEach((texts, index) => { values[index].textContent = " " + texts[step]; });
    at.textContent = (data.began + (step + 0.5) * data.step).toFixed(2) + " s";
    cursor.style.left = ((step + 0.5) / data.steps) * 100 + "%";
    cursor.hidden = false;
  });
  canvas.addEventListener("pointerleave", () => {
    values.forEach((value) => { value.textContent = ""; });
    at.textContent = "";
    cursor.hidden = true;
  });
}
