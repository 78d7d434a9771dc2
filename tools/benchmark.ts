import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseOptions, runProgram } from "./program";

const ROOT = join(__dirname, "..");
const ROUNDS = 5;

/** Whole processes that synthesize: their commands and settings. */
const CASES: readonly { readonly name: string; readonly command: string; readonly settings: object }[] = [
  { name: "the default cluster", command: appCommand(), settings: {} },
  {
    name: "200 workers",
    command: appCommand(),
    settings: { workers: { count: 200 } },
  },
  // The command of cdktf's own template, with type check.
  { name: "the default cluster under ts-node", command: "node --require ts-node/register main.ts", settings: {} },
];

function appCommand(): string {
  return JSON.parse(readFileSync(join(ROOT, "cdktf.json"), "utf8")).app;
}

/** The duration of one run of a command, in seconds. */
function seconds(folder: string, command: string, settings: object): number {
  const file = join(folder, "settings.json");
  writeFileSync(file, JSON.stringify(settings));
  const env = { ...process.env, CDKTF_OUTDIR: join(folder, "out"), CLUSTER_SETTINGS: file };
  const begin = performance.now();
  const { status, stderr } = spawnSync(command, { shell: true, cwd: ROOT, env, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return (performance.now() - begin) / 1000;
}

/** Measures the cases in turns, so that a slow moment of the machine affects all of them. */
function main(args: string[]): number {
  parseOptions(args, {});
  const folder = mkdtempSync(join(tmpdir(), "benchmark-"));
  const times = CASES.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    CASES.forEach(({ command, settings }, index) => {
      times[index]?.push(seconds(folder, command, settings));
    });
  }
  rmSync(folder, { recursive: true });
  const medians = times.map((list) => list.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] as number);
  CASES.forEach(({ name }, index) => {
    console.log(`${(medians[index] as number).toFixed(2)} s  ${name}`);
  });
  const [ours, , tsNode] = medians as [number, number, number];
  console.log(`${(ours / tsNode).toFixed(2)}  of the time under ts-node (medians of ${ROUNDS})`);
  return 0;
}

runProgram({ name: "benchmark", usage: "npm run benchmark    measures synthesis, in seconds", main });
