import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const PROJECT = join(__dirname, "../..");
const { scripts } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

/** The npm scripts that are programs of tools/. */
const PROGRAMS = Object.entries(scripts).flatMap(([name, command]) => {
  const file = /^(?:exec )?node --import tsx (tools\/\S+\.ts)$/.exec(command)?.[1];
  return file === undefined ? [] : [[name, file] as const];
});

function run(file: string, ...args: string[]) {
  return ended(process.execPath, "--import", "tsx", file, ...args);
}

function ended(program: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: PROJECT, encoding: "utf8" });
  return { status, stdout, stderr };
}

test("the programs are these", () => {
  expect(PROGRAMS.map(([name]) => name).sort()).toEqual([
    "benchmark",
    "cloud",
    "cluster",
    "conformance",
    "control-plane",
    "credentials",
    "diagram",
    "docs",
    "e2e",
    "releases",
    "review",
  ]);
});

test.each(PROGRAMS)("npm run %s -- --help prints its usage", (name, file) => {
  const { status, stdout, stderr } = run(file, "--help");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toMatch(new RegExp(`^npm run ${name}\\b`));
});

test.each([
  ["credentials", "--nodse", 2, "'--nodse' is not an option, did you mean '--nodes'? allowed: --out, "],
  ["review", "--fial-on", 1, "'--fial-on' is not an option, did you mean '--fail-on'? allowed: --base, "],
  ["docs", "--chekc", 1, "'--chekc' is not an option, did you mean '--check'? allowed: --check, --record\n"],
  ["cloud", "--hlep", 1, "'--hlep' is not an option, did you mean '--help'? allowed: --help\n"],
  ["diagram", "--svg", 1, "'--svg' is not an option"],
])(
  "npm run %s refuses the unknown option %s in one line, with the closest that there is",
  (name, option, status, line) => {
    const file = PROGRAMS.find(([each]) => each === name)?.[1] as string;
    const { stderr, ...ended } = run(file, option);
    expect(ended).toEqual({ status, stdout: "" });
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect(stderr.startsWith(`${name}: ${line}`)).toBe(true);
  },
);

test.each([
  [
    "review",
    1,
    "review: only options are allowed, got: foo; allowed: --base, --plan, --stack, --picture, --format, --fail-on\n",
  ],
  ["benchmark", 1, "benchmark: only options are allowed, got: foo; allowed: none\n"],
])("npm run %s refuses an argument that is no option", (name, status, stderr) => {
  const file = PROGRAMS.find(([each]) => each === name)?.[1] as string;
  expect(run(file, "foo")).toEqual({ status, stdout: "", stderr });
});

test("an option that npm has taken for its own is refused, with the way to type it", () => {
  const { status, stdout, stderr } = ended("npm", "run", "--silent", "review", "--base", "main");
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toMatch(
    /^review: only options are allowed, got: main; .*; npm needs -- before the options: -- --base main$/m,
  );
});

test("npm run credentials -- --help loads no module of cdktf or a provider", () => {
  const probe = `
    const { Module } = require("node:module");
    process.argv.push("credentials", "--help");
    require("./tools/credentials.ts");
    setImmediate(() => {
      const loaded = Object.keys(require.cache).filter((path) => /node_modules\\/(cdktf|constructs|@cdktf)\\//.test(path));
      console.error("loaded", loaded.length);
    });`;
  const { stderr } = spawnSync(process.execPath, ["--import", "tsx", "-e", probe], { cwd: PROJECT, encoding: "utf8" });
  expect(stderr).toBe("loaded 0\n");
});
