// Keeps one worker running: an unhandled rejection kills the worker, as it kills the service itself, and the
// next one takes over its port. A worker that never gets as far as listening is not tried again.
const path = require("path");
const { fork } = require("child_process");

const WORKER = path.join(__dirname, "worker.js");

let port = process.env.PORT || 4500;
let worker;
let announced = false;

function start() {
  let listening = false;
  worker = fork(WORKER, { env: { ...process.env, PORT: port } });
  worker.on("message", (message) => {
    listening = true;
    port = message.port;
    if (!announced) console.log(`listening on ${port}`);
    announced = true;
  });
  worker.on("exit", (code) => {
    if (!listening) process.exit(code || 1);
    console.error(`worker ended with code ${code}, starting another`);
    start();
  });
}

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    worker.removeAllListeners("exit");
    worker.on("exit", () => process.exit(0));
    worker.kill("SIGTERM");
  });
}

start();
