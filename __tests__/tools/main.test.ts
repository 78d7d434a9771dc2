import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";

const PROJECT = join(__dirname, "../..");
const { app } = JSON.parse(readFileSync(join(PROJECT, "cdktf.json"), "utf8"));

const folder = mkdtempSync(join(tmpdir(), "app-"));
afterAll(() => rmSync(folder, { recursive: true }));

let runs = 0;

/** Runs the program as the CLI does, with the command of cdktf.json. @param options.out - by default a new folder */
function runApp(options: { context?: object; settings?: string; cwd?: string; out?: string } = {}) {
  const out = options.out ?? join(folder, `run-${runs++}`);
  const env = {
    ...process.env,
    CDKTF_OUTDIR: out,
    CDKTF_CONTEXT_JSON: JSON.stringify(options.context ?? {}),
    CLUSTER_SETTINGS: options.settings,
  };
  const { status, stdout, stderr } = spawnSync(app, {
    shell: true,
    cwd: options.cwd ?? PROJECT,
    env,
    encoding: "utf8",
  });
  const stacks = join(out, "stacks");
  const names = existsSync(stacks) ? readdirSync(stacks) : [];
  const jsons = names.map((name) => join(stacks, name, "cdk.tf.json")).filter(existsSync);
  return { status, stdout, stderr, out, jsons, bytes: jsons.map((path) => readFileSync(path, "utf8")) };
}

/** Copies all files that synthesis needs. */
function copyProgram(target: string): void {
  for (const name of ["main.ts", "constructs", "credentials", "kubernetes", "model", "settings", "package.json"]) {
    cpSync(join(PROJECT, name), join(target, name), { recursive: true });
  }
  cpSync(join(PROJECT, "tsconfig.json"), join(target, "tsconfig.json"));
  symlinkSync(join(PROJECT, "node_modules"), join(target, "node_modules"));
}

test("a second run, and a run in another folder, write the same bytes, without a path of this machine", () => {
  const elsewhere = join(folder, "elsewhere");
  mkdirSync(elsewhere);
  copyProgram(elsewhere);

  const [once, again, there] = [runApp(), runApp(), runApp({ cwd: elsewhere })];

  expect(once).toMatchObject({ status: 0, stdout: "", stderr: "" });
  expect(once.bytes).toHaveLength(1);
  expect(again.bytes).toEqual(once.bytes);
  expect(there.bytes).toEqual(once.bytes);
  for (const path of [PROJECT, dirname(PROJECT), homedir(), tmpdir()].filter((path) => path !== "/")) {
    expect(once.bytes[0]).not.toContain(`${path}/`);
  }
});

test("settings in the context are used", () => {
  const { status, jsons } = runApp({ context: { cluster: { name: "from-context" } } });
  expect([status, jsons.map((path) => path.split("/").at(-2))]).toEqual([0, ["from-context"]]);
});

test("CLUSTER_SETTINGS is the path of a settings file, relative to the working directory", () => {
  writeFileSync(join(folder, "prod.json"), JSON.stringify({ name: "prod" }));
  const elsewhere = join(folder, "elsewhere");
  const { status, jsons } = runApp({
    context: { cluster: { name: "from-context" } },
    settings: "../prod.json",
    cwd: elsewhere,
  });
  expect([status, jsons.map((path) => path.split("/").at(-2))]).toEqual([0, ["prod"]]);
});

test("invalid settings are refused with a line for each problem, and no JSON is written", () => {
  const { status, stdout, stderr, jsons } = runApp({ context: { cluster: { workers: { count: 900, cuont: 1 } } } });
  expect({ status, stdout, stderr, jsons }).toEqual({
    status: 1,
    stdout: "",
    stderr:
      "'workers.cuont' is not a setting, did you mean 'workers.count'? allowed: count, instanceType, firstHostNumber, rootVolume\n" +
      "'workers.count' must be a whole number from 0 to 200, got: 900\n",
    jsons: [],
  });
});

test("a missing settings file is refused in one line", () => {
  const { status, stderr, jsons } = runApp({ settings: "nowhere.json" });
  expect({ status, stderr, jsons }).toEqual({
    status: 1,
    stderr: `'CLUSTER_SETTINGS' must be the path of a JSON file, got: "nowhere.json" (ENOENT: no such file or directory, open 'nowhere.json')\n`,
    jsons: [],
  });
});

test.each<[string, string]>([
  ["a name that all objects have", `{"name":"constructor"}`],
  ["a name that cdktf's objects have", `{"name":"hasOwnProperty"}`],
  ["a token of cdktf", `{"pki":{"subject":{"province":"#{TfToken[TOKEN.1]}"}}}`],
  [
    "the last network of all",
    `{"network":{"cidrBlock":"255.255.255.240/28","subnets":[{"cidrBlock":"255.255.255.240/28"}]}}`,
  ],
  ["lists in lists", `{"workers":${"[".repeat(5000)}${"]".repeat(5000)}}`],
  ["objects in objects", `{"tags":${'{"a":'.repeat(5000)}1${"}".repeat(5000)}}`],
  ["a hundred thousand lists in lists", "[".repeat(100_000) + "]".repeat(100_000)],
  ["a hundred thousand lists that are not closed", "[".repeat(100_000)],
  ["the prototype of an object", `{"__proto__":{"name":"a"}}`],
  ["a key twice", `{"name":"a","name":"b"}`],
  ["a list", "[]"],
  ["no JSON", "name: prod"],
])("a settings file with %s is refused without a stack trace", (_name, content) => {
  writeFileSync(join(folder, "bad.json"), content);
  const { status, stdout, stderr, jsons } = runApp({ settings: join(folder, "bad.json") });
  expect({ status, stdout, jsons }).toEqual({ status: 1, stdout: "", jsons: [] });
  expect(stderr).toMatch(/^('.{1,500}\n)+$/);
});

test("a key that is twice in cdktf.json is refused, unless a settings file replaces the context", () => {
  const elsewhere = join(folder, "twice");
  mkdirSync(elsewhere);
  copyProgram(elsewhere);
  const context = `{"cluster":{"workers":{"count":5},"workers":{"instanceType":"t3.small"}}}`;
  writeFileSync(join(elsewhere, "cdktf.json"), `{\n"context":\n${context}}`);
  writeFileSync(join(elsewhere, "own.json"), "{}");

  const run = { cwd: elsewhere, context: JSON.parse(context) };
  expect(runApp(run)).toMatchObject({
    status: 1,
    stderr: "'context.cluster.workers' must be given once, got: a second time in cdktf.json, line 3, column 35\n",
  });
  expect(runApp({ ...run, settings: "own.json" })).toMatchObject({ status: 0, stderr: "" });
});

test("the CLI receives the warnings", () => {
  const { out } = runApp();
  const text = readFileSync(join(out, "manifest.json"), "utf8");
  const manifest = JSON.parse(text);
  const annotations: { level: string; message: string }[] = manifest.stacks["k8s-cluster-from-ground-up"].annotations;
  expect(annotations.map(({ level, message }) => `${level} ${message}`)).toEqual([
    "@cdktf/warn 'access.ssh' allows everybody to connect to ssh: list only the addresses that need it",
    "@cdktf/warn 'serviceNetwork.cidrBlock' is 172.32.0.0/24, public address space: pods cannot reach the real hosts there",
  ]);
  expect(text).not.toContain(PROJECT);
});

test("npm run synth needs neither Terraform nor an AWS account", () => {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  for (const program of ["node", "npm", "sh"]) {
    const { stdout } = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" });
    symlinkSync(stdout.trim(), join(bin, program));
  }
  const out = join(folder, "cli");
  const env = { PATH: bin, HOME: folder, CI: "true" };
  const command = ["run", "synth", "--", "--output", out];

  const { status, stdout, stderr } = spawnSync("npm", command, { cwd: PROJECT, env, encoding: "utf8" });

  expect({ status, stderr: status === 0 ? "" : stdout + stderr }).toEqual({ status: 0, stderr: "" });
  const written = join(out, "stacks/k8s-cluster-from-ground-up/cdk.tf.json");
  expect(readFileSync(written, "utf8")).toBe(runApp().bytes[0]);
  expect((statSync(written).mode & 0o777).toString(8)).toBe("600");
});

/** The paths of all files in a folder. */
const filesIn = (path: string) =>
  readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => statSync(join(path, name)).isFile())
    .sort();

test.each([
  ["a workspace's state", "terraform.tfstate.d/staging/terraform.tfstate"],
  ["the backup of a workspace's state", "terraform.tfstate.d/two words/terraform.tfstate.backup"],
  ["a state at Terraform's usual place", "terraform.tfstate"],
  ["a state that Terraform could not save in its backend", "errored.tfstate"],
  ["a state where `init -backend-config` put it", "states/of/one.tfstate"],
  ["an old backup", "one.tfstate.1700000000.backup"],
  ["a state in a hidden folder", ".states/terraform.tfstate"],
])("%s in the folder of another cluster stops synthesis, and nothing changes", (_name, state) => {
  const out = mkdtempSync(join(folder, "out-"));
  const path = join(out, "stacks/one", state);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, "{}");
  const before = filesIn(out);

  const two = runApp({ context: { cluster: { name: "two" } }, out });

  expect(two).toMatchObject({ status: 1, stdout: "" });
  expect(two.stderr).toBe(
    `synthesis would delete the folders of other clusters, and with them the state ${path}: move the cluster's folder to another place, or add \`-- --output cdktf.out.NAME\` to the command\n`,
  );
  expect(filesIn(out)).toEqual(before);
});

test("other files in the folder of another cluster, or states elsewhere, do not stop synthesis", () => {
  const out = mkdtempSync(join(folder, "out-"));
  for (const file of [
    "stacks/one/.terraform/terraform.tfstate",
    "stacks/one/.terraform.tfstate.lock.info",
    "stacks/one/plan",
    "stacks/one/tfstate",
    "terraform.tfstate",
    "stacks/two/terraform.tfstate.d/staging/terraform.tfstate",
  ]) {
    mkdirSync(dirname(join(out, file)), { recursive: true });
    writeFileSync(join(out, file), "{}");
  }
  mkdirSync(join(out, "stacks/one/terraform.tfstate.d/empty"), { recursive: true });
  symlinkSync(out, join(out, "stacks/one/link"));
  expect(runApp({ context: { cluster: { name: "two" } }, out })).toMatchObject({ status: 0, stderr: "" });
});

test("npm run synth for another cluster does not delete a workspace's state", () => {
  const out = join(folder, "workspace");
  const synth = (name: string) => {
    writeFileSync(join(folder, "settings.json"), JSON.stringify({ name }));
    const env = { ...process.env, CI: "true", CLUSTER_SETTINGS: join(folder, "settings.json") };
    const { status, stdout, stderr } = spawnSync("npm", ["run", "synth", "--", "--output", out], {
      cwd: PROJECT,
      env,
      encoding: "utf8",
    });
    return { status, output: stdout + stderr };
  };
  expect(synth("one").status).toBe(0);
  const state = join(out, "stacks/one/terraform.tfstate.d/staging/terraform.tfstate");
  mkdirSync(dirname(state), { recursive: true });
  writeFileSync(state, "{}");
  const before = filesIn(out);

  const refused = synth("two");

  expect(refused.status).toBe(1);
  expect(refused.output).toContain("synthesis would delete the folders of other clusters, and with them the state");
  expect(filesIn(out)).toEqual(before);
  // Without a state, the CLI deletes the folder.
  rmSync(state);
  expect(synth("two").status).toBe(0);
  expect(readdirSync(join(out, "stacks"))).toEqual(["two"]);
});

test("npm scripts that synthesize or run Terraform write files that other users cannot read, and outlive Ctrl-C", () => {
  const { scripts } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
  for (const name of ["synth", "diff", "deploy", "destroy"]) {
    expect(scripts[name]).toBe(`umask 077 && exec node --import tsx tools/terraform.ts ${name}`);
  }
});

test("npx cdktf synth writes the same JSON as npm run synth", () => {
  const outputs = [
    ["npx", "cdktf"],
    ["npm", "run"],
  ].map(([program = "", command = ""]) => {
    const out = join(folder, `by-${program}`);
    const args = program === "npx" ? [command, "synth", "--output", out] : [command, "synth", "--", "--output", out];
    const env = { ...process.env, CI: "true", CHECKPOINT_DISABLE: "1" };
    expect(spawnSync(program, args, { cwd: PROJECT, env, encoding: "utf8" }).status).toBe(0);
    return Object.fromEntries(filesIn(out).map((path) => [path, readFileSync(join(out, path), "utf8")]));
  });
  expect(Object.keys(outputs[0] as object)).toHaveLength(2);
  expect(outputs[1]).toEqual(outputs[0]);
});

test("a checkout by Git for Windows has no carriage returns", () => {
  const [from, checkout] = [join(folder, "repository"), join(folder, "checkout")];
  const files = [".gitattributes", ".ci/run", "tools/plan-page.sh", "docs/addresses.md", "cdktf.json"];
  for (const file of files) cpSync(join(PROJECT, file), join(from, file));
  const git = (...args: string[]) => {
    const { status, stderr } = spawnSync("git", ["-c", "user.name=a", "-c", "user.email=a@b.c", ...args], {
      encoding: "utf8",
    });
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  };
  git("init", "--quiet", from);
  git("-C", from, "add", "--all");
  git("-C", from, "commit", "--quiet", "--message", "all");
  git("clone", "--quiet", "--config", "core.autocrlf=true", from, checkout);

  for (const file of files)
    expect([file, readFileSync(join(checkout, file), "utf8").includes("\r")]).toEqual([file, false]);
});

test("npm refuses Windows in one line that names WSL, in which Node reports Linux", () => {
  const elsewhere = join(folder, "platforms");
  mkdirSync(elsewhere);
  const { os } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
  writeFileSync(join(elsewhere, "package.json"), JSON.stringify({ name: "a", version: "1.0.0", os }));
  const onWindows = join(elsewhere, "windows.js");
  writeFileSync(onWindows, 'Object.defineProperty(process, "platform", { value: "win32" });');
  const install = (env: NodeJS.ProcessEnv) =>
    spawnSync("npm", ["install", "--dry-run", "--offline"], {
      cwd: elsewhere,
      encoding: "utf8",
      env: { ...process.env, npm_config_cache: join(elsewhere, "cache"), ...env },
    });
  expect(install({}).status).toBe(0);
  const refused = install({ NODE_OPTIONS: `--require ${onWindows}` });
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain('wanted {"os":"linux,darwin,WSL"} (current: {"os":"win32"})');
});

test.each([
  ["v20.9.0", true],
  ["v22.0.0", true],
  ["v18.20.0", false],
  ["v24.0.0", false],
])("npm ci on Node %s: %p", (version, isAllowed) => {
  const elsewhere = join(folder, version);
  mkdirSync(elsewhere);
  for (const name of [".npmrc", "package.json", "package-lock.json"])
    cpSync(join(PROJECT, name), join(elsewhere, name));
  const other = join(elsewhere, "node.js");
  writeFileSync(other, `Object.defineProperty(process, "version", { value: "${version}" });`);
  const { status, stderr } = spawnSync("npm", ["ci", "--dry-run", "--offline"], {
    cwd: elsewhere,
    encoding: "utf8",
    env: { ...process.env, NODE_OPTIONS: `--require ${other}` },
  });
  // Also no package in the lock file refuses it.
  expect({ status, stderr }).toMatchObject(
    isAllowed ? { status: 0 } : { status: 1, stderr: expect.stringContaining("EBADENGINE") },
  );
});
