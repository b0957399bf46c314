// graphile-worker: `node main.js DATABASE_URL JOBS CONCURRENCY BATCH [PROCESSES]`.
//
// Inserts so many jobs that do nothing into an empty database, works off all of them, and prints one JSON line. With a
// BATCH of n the settings are those of the project's own performance page: a local queue of n jobs and ends gathered
// without delay. A BATCH of 0 leaves both as they are by default: every job is fetched and ended by itself. The work is
// done by PROCESSES of CONCURRENCY each; its clock begins when they are connected and ends when all have ended, and with
// them every job.

import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Logger, makeWorkerUtils, runOnce } from "graphile-worker";
import pg from "pg";

const INSERT = 1000;
const TASK = "nothing";
const VERSION = "0.17.3";
const WORKER = "worker";

const quiet = new Logger(() => (level, message) => {
  if (level === "error" || level === "warning") console.error(message);
});

const [url, jobs, concurrency, batch, processes = "1", role] = process.argv.slice(2);

async function insert() {
  const utils = await makeWorkerUtils({ connectionString: url, logger: quiet });
  await utils.migrate();
  const begun = performance.now();
  for (let first = 0; first < Number(jobs); first += INSERT) {
    const count = Math.min(INSERT, Number(jobs) - first);
    await utils.addJobs(
      Array.from({ length: count }, (_, at) => ({ identifier: TASK, payload: { number: first + at } })),
    );
  }
  const took = performance.now() - begun;
  await utils.withPgClient((client) => client.query("ANALYZE"));
  await utils.release();
  return took;
}

function fail(error) {
  throw error;
}

// One process of workers: connects, waits to be told, works until nothing is left.
async function work() {
  const pgPool = new pg.Pool({ connectionString: url, max: Number(concurrency) + 1 });
  pgPool.on("error", fail);
  pgPool.on("connect", (client) => client.on("error", fail));
  const batching =
    Number(batch) > 0
      ? { localQueue: { size: Number(batch) }, completeJobBatchDelay: 0, failJobBatchDelay: 0 }
      : {};
  const preset = { worker: { logger: quiet, concurrentJobs: Number(concurrency), ...batching } };
  await Promise.all(Array.from({ length: Number(concurrency) }, () => pgPool.query("SELECT 1")));
  process.send("ready");
  await once(process, "message");
  await runOnce({ preset, pgPool, taskList: { [TASK]: () => {} } });
  process.send("done");
  await pgPool.end();
  process.disconnect();
}

async function workWithAll() {
  const children = Array.from({ length: Number(processes) }, () =>
    fork(fileURLToPath(import.meta.url), [url, jobs, concurrency, batch, processes, WORKER]),
  );
  const told = () =>
    Promise.all(
      children.map(async (child) => {
        const [message] = await Promise.race([once(child, "message"), once(child, "exit")]);
        if (typeof message !== "string") throw new Error(`a worker ended early: ${message}`);
      }),
    );
  await told();
  const begun = performance.now();
  children.forEach((child) => child.send("go"));
  await told();
  return performance.now() - begun;
}

async function left() {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query("SELECT count(*)::int AS left FROM graphile_worker.jobs");
  await client.end();
  return rows[0].left;
}

if (role === WORKER) {
  await work();
} else {
  const inserted = await insert();
  const worked = await workWithAll();
  const unfinished = await left();
  if (unfinished > 0) throw new Error(`${unfinished} jobs are left`);
  const rate = (millis) => Math.round((Number(jobs) * 1000) / millis);
  console.log(
    JSON.stringify({
      peer: "graphile-worker",
      version: VERSION,
      jobs: Number(jobs),
      insert_jobs_s: rate(inserted),
      work_jobs_s: rate(worked),
    }),
  );
}
