// Plays parts of sounds, and moves the cursors of the spectrograms and the timeline that belong to a sound.
// Buttons name a sound and a part of it in seconds of the recording; a spectrogram is a slider over its sound.

const STEP_S = 0.5;

let playing = null; // {sound, end, button}

const soundOf = (element) => document.getElementById(element.dataset.sound);
const startOf = (element) => Number(element.dataset.start);
const noteOf = (element) => element.closest(".player").querySelector(".note");
const plotsOf = (sound) => document.querySelectorAll(`.plot[data-sound="${sound.id}"]`);

function place(element, share) {
  const cursor = element.querySelector(".cursor");
  cursor.hidden = share < 0 || share > 1;
  cursor.style.left = `${100 * share}%`;
}

function showPosition(sound, time) {
  for (const plot of plotsOf(sound)) {
    place(plot, (time - startOf(plot)) / Number(plot.dataset.seconds));
    plot.setAttribute("aria-valuenow", time.toFixed(1));
    plot.setAttribute("aria-valuetext", `${time.toFixed(1)} seconds`);
  }
  for (const timeline of document.querySelectorAll(`.timeline[data-recording="${sound.dataset.recording}"]`)) {
    place(timeline.querySelector(".drawing"), time / Number(timeline.dataset.seconds));
  }
}

function stop() {
  if (!playing) return;
  const { sound, button } = playing;
  playing = null;
  sound.pause();
  button?.setAttribute("aria-pressed", "false");
}

function follow() {
  if (!playing) return;
  const { sound, end } = playing;
  const time = startOf(sound) + sound.currentTime;
  showPosition(sound, Math.min(time, end));
  if (time >= end || sound.ended) stop();
}

function everyFrame() {
  follow();
  if (playing) requestAnimationFrame(everyFrame);
}

async function play(element, start, end, button = null) {
  const sound = soundOf(element);
  const note = noteOf(element);
  stop();
  note.textContent = "";
  const turn = { sound, end, button };
  playing = turn;
  button?.setAttribute("aria-pressed", "true");
  try {
    if (sound.readyState < HTMLMediaElement.HAVE_METADATA) {
      await new Promise((resolve, reject) => {
        sound.addEventListener("loadedmetadata", resolve, { once: true });
        sound.addEventListener("error", () => reject(sound.error), { once: true });
        sound.load();
      });
    }
    if (playing !== turn) return;
    sound.currentTime = Math.max(0, start - startOf(sound));
    await sound.play();
    everyFrame();
  } catch (error) {
    if (playing !== turn) return; // stopped before it began
    stop();
    note.textContent = `This browser cannot play the sound: ${error?.message || "the file is missing or damaged"}.`;
  }
}

function move(plot, time) {
  const sound = soundOf(plot);
  const end = startOf(plot) + Number(plot.dataset.seconds);
  time = Math.min(Math.max(time, startOf(plot)), end);
  if (playing?.sound === sound) {
    playing.end = end;
    sound.currentTime = time - startOf(sound);
  }
  showPosition(sound, time);
}

for (const sound of document.querySelectorAll("audio")) {
  sound.addEventListener("timeupdate", follow); // also where a hidden page draws no frames
  sound.addEventListener("ended", () => playing?.sound === sound && stop());
}

for (const button of document.querySelectorAll(".player button")) {
  button.addEventListener("click", () => {
    if (playing?.button === button) stop();
    else play(button, startOf(button), Number(button.dataset.end), button);
  });
}

for (const plot of document.querySelectorAll('.plot[role="slider"]')) {
  const end = () => startOf(plot) + Number(plot.dataset.seconds);
  const now = () => Number(plot.getAttribute("aria-valuenow"));
  plot.addEventListener("click", (event) => {
    const box = plot.getBoundingClientRect();
    play(plot, startOf(plot) + (Number(plot.dataset.seconds) * (event.clientX - box.left)) / box.width, end());
  });
  plot.addEventListener("keydown", (event) => {
    const moves = {
      ArrowLeft: () => move(plot, now() - STEP_S),
      ArrowRight: () => move(plot, now() + STEP_S),
      Home: () => move(plot, startOf(plot)),
      End: () => move(plot, end()),
      " ": () => (playing?.sound === soundOf(plot) ? stop() : play(plot, now() < end() ? now() : startOf(plot), end())),
    };
    if (event.key in moves) {
      event.preventDefault();
      moves[event.key]();
    }
  });
}

for (const player of document.querySelectorAll(".player")) {
  player.querySelector(".explainer")?.addEventListener("change", (event) => {
    for (const map of player.querySelectorAll("img[data-explainer]")) {
      map.hidden = map.dataset.explainer !== event.target.value;
    }
  });
  const blend = player.querySelector(".blend");
  blend?.addEventListener("input", () => {
    const share = Number(blend.value) / 100;
    player.style.setProperty("--explanation", Math.min(1, 2 * share));
    player.style.setProperty("--recording", Math.min(1, 2 * (1 - share)));
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});
