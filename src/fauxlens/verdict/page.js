// Lens, divider, sliders. Without it the page shows the picture with its marks; nothing moves unless somebody moves it.
(() => {
  "use strict";
  const all = (what, within = document) => [...within.querySelectorAll(what)];

  // On paper every card is open, as it was before afterwards.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    for (const card of closed) card.open = true;
  });
  addEventListener("afterprint", () => {
    for (const card of closed) card.open = false;
  });

  const viewer = document.querySelector(".viewer");
  if (!viewer) return;
  const one = (what) => viewer.querySelector(what);
  const sheet = one(".sheet"), picture = one(".picture"), marked = one(".marked"), heat = one(".heat");
  const lens = one(".lens"), divider = one(".divider"), where = one(".where"), told = one(".told");
  const opacity = one("#opacity"), zoom = one("#zoom"), layer = one("#layer"), outline = one("#outline");
  const width = Number(viewer.dataset.width), height = Number(viewer.dataset.height);
  const number = new Intl.NumberFormat("en");
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  viewer.classList.add("script");
  one(".controls").hidden = false;

  let view = "lens";
  let place = { x: Number(viewer.dataset.x), y: Number(viewer.dataset.y) };  // 0 to 1
  let shows = false;
  let cut = 50;

  const edges = () => all(".outline", viewer).find((drawing) => !drawing.hasAttribute("hidden"));

  function draw() {
    lens.hidden = !(shows && view === "lens");
    if (lens.hidden) return;
    const box = sheet.getBoundingClientRect();
    const side = Math.round(clamp(Math.min(box.width, innerWidth) * 0.45, 130, 340));
    const dots = Math.max(1, devicePixelRatio || 1);
    lens.style.width = lens.style.height = `${side}px`;
    lens.style.left = `${place.x * 100}%`;
    lens.style.top = `${place.y * 100}%`;
    lens.width = lens.height = Math.round(side * dots);
    const scale = Number(zoom.value);
    const span = side / scale;  // pixels of the file that the lens shows
    const left = place.x * width - span / 2, top = place.y * height - span / 2;
    const brush = lens.getContext("2d");
    brush.fillStyle = "#808080";
    brush.fillRect(0, 0, lens.width, lens.height);
    brush.setTransform(scale * dots, 0, 0, scale * dots, -left * scale * dots, -top * scale * dots);
    // Pixels are shown as they are, not smoothed into something that is not there.
    brush.imageSmoothingEnabled = scale * dots * width < picture.naturalWidth;
    brush.drawImage(picture, 0, 0, width, height);
    if (heat) {
      brush.imageSmoothingEnabled = true;
      brush.globalAlpha = Number(opacity.value) / 100;
      brush.drawImage(heat, 0, 0, width, height);
      brush.globalAlpha = 1;
      const drawing = edges();
      if (drawing && outline.checked) {
        const within = drawing.viewBox.baseVal;
        brush.scale(width / within.width, height / within.height);
        const path = new Path2D(drawing.querySelector("path").getAttribute("d"));
        const thin = within.width / width / scale;
        brush.lineJoin = "round";
        brush.lineWidth = 6 * thin; brush.strokeStyle = "#fff"; brush.stroke(path);
        brush.lineWidth = 2 * thin; brush.strokeStyle = "#000"; brush.stroke(path);
      }
    }
    where.textContent = sentence();
  }

  function sentence() {
    const x = clamp(Math.floor(place.x * width), 0, width - 1), y = clamp(Math.floor(place.y * height), 0, height - 1);
    return `Lens at ${number.format(x)}, ${number.format(y)} of ${number.format(width)} x ${number.format(height)} pixels, ${zoom.value}:1`;
  }

  function move(x, y) {
    place = { x: clamp(x, 0, 1), y: clamp(y, 0, 1) };
    shows = true;
    draw();
  }

  function follow(event) {
    const box = sheet.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    if (view === "lens") move(x, y);
    else if (event.buttons) divide(x * 100);
  }

  function divide(percent) {
    cut = clamp(percent, 0, 100);
    if (!divider) return;
    const parts = view === "divider";
    marked.style.clipPath = parts ? `inset(0 0 0 ${cut}%)` : "";
    divider.hidden = !parts;
    for (const label of all(".side", viewer)) label.hidden = !parts;
    divider.style.left = `${cut}%`;
    divider.setAttribute("aria-valuenow", String(Math.round(cut)));
    divider.setAttribute("aria-valuetext", `${Math.round(cut)} percent before, ${100 - Math.round(cut)} percent marked`);
  }

  sheet.addEventListener("pointermove", follow);
  sheet.addEventListener("pointerdown", follow);
  sheet.addEventListener("dragstart", (event) => event.preventDefault());
  sheet.addEventListener("pointerleave", (event) => {
    // A finger leaves after every tap; its lens stays where it was put.
    if (event.pointerType === "touch" || document.activeElement === sheet) return;
    shows = false;
    draw();
  });
  sheet.addEventListener("focus", () => {
    if (!sheet.matches(":focus-visible")) return;  // a click shows it where the pointer is
    shows = true;
    draw();
  });
  sheet.addEventListener("blur", () => {
    shows = false;
    draw();
  });
  sheet.addEventListener("keydown", (event) => {
    if (event.target !== sheet || view !== "lens" || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? { x: 1 / width, y: 1 / height } : { x: 0.02, y: 0.02 };
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in ways) {
      const [right, down] = ways[event.key];
      move(place.x + right * step.x, place.y + down * step.y);
    } else if (event.key === "+" || event.key === "-") {
      zoom.value = String(Number(zoom.value) + (event.key === "+" ? 1 : -1));
      zoomed();
      shows = true;
      draw();
    } else if (event.key === "Escape") {
      shows = false;
      draw();
    } else return;
    event.preventDefault();
    told.textContent = shows ? sentence() : "Lens hidden";
  });

  if (divider) {
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageUp: 10, PageDown: -10, Home: -100, End: 100 };
      if (!(event.key in steps)) return;
      divide(cut + steps[event.key]);
      event.preventDefault();
    });
  }
  for (const choice of all("input[name=view]", viewer))
    choice.addEventListener("change", () => {
      if (!choice.checked) return;
      view = choice.value;
      divide(cut);
      draw();
    });
  function zoomed() {
    one("#zoom-told").textContent = `${zoom.value}:1`;
    zoom.setAttribute("aria-valuetext", `${zoom.value} to 1`);
  }
  zoom.addEventListener("input", () => { zoomed(); draw(); });
  zoomed();
  if (heat) {
    const first = { name: layer.value, source: heat.src };
    const faded = () => {
      heat.style.opacity = String(Number(opacity.value) / 100);
      one("#opacity-told").textContent = `${opacity.value} %`;
      draw();
    };
    opacity.addEventListener("input", faded);
    faded();
    outline.addEventListener("change", () => {
      for (const drawing of all(".outline", viewer)) drawing.style.display = outline.checked ? "" : "none";
      draw();
    });
    layer.addEventListener("change", () => {
      heat.src = layer.value === first.name ? first.source : document.getElementById(layer.value).src;
      for (const drawing of all(".outline", viewer)) drawing.toggleAttribute("hidden", drawing.dataset.layer !== layer.value);
      for (const words of all(".area", viewer)) words.hidden = words.dataset.layer !== layer.value;
      heat.decode().then(draw, draw);
    });
  }
  divide(cut);
  addEventListener("resize", draw);
})();
