// Keeps one worker running. An unhandled rejection ends the worker, as it ends the real service, and the next
// worker listens on its port. A worker that ends before it listens is not replaced. Its time zone is UTC on any machine.
const path = require("path");
const { fork } = require("child_process");

const WORKER = path.join(__dirname, "worker.js");

let port = process.env.PORT || 4500;
let worker;
let announced = false;

function start() {
  let listening = false;
  worker = fork(WORKER, { env: { ...process.env, TZ: "UTC", PORT: port } });
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
