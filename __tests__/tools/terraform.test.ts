import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Running, start, until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";

const PROJECT = join(__dirname, "../..");

/** The sequences that clear a terminal, and those that clear its history. */
const CLEARS = ["\u001b[J", "\u001b[2J", "\u001b[3J"];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "scripts-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const output = () => join(folder, "out");
const stackFolder = () => join(output(), "stacks/one");

/** Writes a folder as synthesis does, with a stack of each name. */
function synthesized(json: object, ...names: readonly string[]): void {
  const stacks = (names.length > 0 ? names : ["one"]).map((name) => [
    name,
    { name, workingDirectory: `stacks/${name}` },
  ]);
  for (const [name] of stacks) {
    mkdirSync(join(output(), "stacks", name as string), { recursive: true });
    writeFileSync(join(output(), "stacks", name as string, "cdk.tf.json"), JSON.stringify(json));
  }
  writeFileSync(join(output(), "manifest.json"), JSON.stringify({ stacks: Object.fromEntries(stacks) }));
}

const environment = () => ({ ...process.env, TF_CLI_CONFIG_FILE: "/dev/null" });

/** Runs an npm script to its end. */
function run(script: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync("npm", ["run", "--silent", script, "--", ...args], {
    cwd: PROJECT,
    env: { ...environment(), ...env },
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

/** Runs an npm script on the synthesized files. */
function runOn(script: string, ...args: readonly string[]) {
  return run(script, ["--skip-synth", "--output", output(), "-no-color", ...args]);
}

/** Starts a deploy in a terminal, and waits until it has printed a text. */
async function startDeploy(text: string): Promise<Running> {
  const args = ["--skip-synth", `--output=${output()}`, "-auto-approve", "-no-color"];
  const deploy = start(["npm", "run", "--silent", "deploy", "--", ...args], {
    cwd: PROJECT,
    env: environment(),
    terminal: true,
  });
  await until(() => deploy.output().includes(text), { what: deploy.output, process: deploy.process, seconds: 50 });
  return deploy;
}

const data = (blocks: object) => ({ resource: { terraform_data: blocks } });
const command = (text: string) => ({ provisioner: [{ "local-exec": { command: text } }] });
const readState = () => JSON.parse(readFileSync(join(stackFolder(), "terraform.tfstate"), "utf8"));
const isLocked = () => readdirSync(stackFolder()).some((name) => name.endsWith(".lock.info"));

test.each(["synth", "deploy", "diff", "destroy"])(
  "npm run %s -- --help prints the options, and does nothing",
  (script) => {
    const { status, stdout, stderr } = run(script, ["--output", output(), "--help"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain("All other options are Terraform's");
    expect(existsSync(output())).toBe(false);
  },
);

test("npm run synth prints the warnings, deletes the folders of other stacks, and names the file", () => {
  mkdirSync(join(output(), "stacks/another"), { recursive: true });
  // A file is no folder of a stack: it may be a state that somebody keeps there.
  writeFileSync(join(output(), "stacks/prod.tfstate"), "{}");
  const { status, stdout, stderr } = run("synth", ["--output", output()]);
  expect(status).toBe(0);
  expect(stderr).toMatch(/^warning: 'access\.ssh' allows everybody .*\nwarning: 'serviceNetwork\.cidrBlock' is .*\n$/);
  const file = join(output(), "stacks/k8s-cluster-from-ground-up/cdk.tf.json");
  expect(stdout).toBe(`${file} is written\n`);
  expect(readdirSync(join(output(), "stacks"))).toEqual(["k8s-cluster-from-ground-up", "prod.tfstate"]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("settings that are not allowed are refused in one line each, before Terraform runs", () => {
  const settings = join(folder, "settings.json");
  writeFileSync(settings, JSON.stringify({ workers: { count: 900 } }));
  const refused = {
    status: 1,
    stdout: "",
    stderr: "'workers.count' must be a whole number from 0 to 200, got: 900\n",
  };
  expect(run("synth", ["--output", output()], { CLUSTER_SETTINGS: settings })).toEqual(refused);
  // A program that exists everywhere instead of Terraform.
  const env = { CLUSTER_SETTINGS: settings, TERRAFORM_BINARY_NAME: "true" };
  expect(run("deploy", ["--output", output()], env)).toEqual(refused);
  // cdktf makes the folders before it reads the settings.
  expect(readdirSync(output(), { recursive: true })).toEqual(["stacks"]);
});

test("options without a value, and unknown options of npm run synth, are refused in one line", () => {
  const env = { TERRAFORM_BINARY_NAME: "true" };
  expect(run("diff", ["--output"], env).stderr).toBe("diff: '--output' must have a value, got none\n");
  expect(run("destroy", ["--stack="], env).stderr).toBe("destroy: '--stack' must have a value, got none\n");
  expect(run("synth", ["--ouput", "a"]).stderr).toBe(
    "synth: '--ouput' is not an option, did you mean '--output'? allowed: --output\n",
  );
  expect(run("deploy", ["prod"], env).stderr).toBe(
    "deploy: options begin with '-', and '--stack NAME' selects a stack, got: prod\n",
  );
  expect(run("deploy", ["--skip-synth", "--output", "/nowhere"], env).stderr).toBe(
    "deploy: '--output' must be a folder that `npm run synth` wrote, got: /nowhere\n",
  );
  expect(run("synth", ["--output", "/dev/null/a"]).stderr).toMatch(
    /^synth: '--output' must be a folder that can be made, got: \/dev\/null\/a \(ENOTDIR.*\)\n$/,
  );
});

test("the folder for the output is made, with its parents", () => {
  const deep = join(folder, "a b/c/out");
  expect(run("synth", ["--output", deep]).status).toBe(0);
  expect(existsSync(join(deep, "manifest.json"))).toBe(true);
});

test("without Terraform, one line says which versions do, and nothing is synthesized", () => {
  for (const name of ["terraform-is-not-here", "./not-here"]) {
    expect(run("deploy", ["--output", output()], { TERRAFORM_BINARY_NAME: name })).toEqual({
      status: 1,
      stdout: "",
      stderr: `deploy: ${name} is missing: install Terraform 1.11 or later, or OpenTofu 1.12 or later and set TERRAFORM_BINARY_NAME=tofu\n`,
    });
  }
  expect(existsSync(output())).toBe(false);
});

test("several stacks are refused without --stack", () => {
  synthesized({}, "one", "two");
  const { status, stderr } = run("deploy", ["--skip-synth", "--output", output()], { TERRAFORM_BINARY_NAME: "true" });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: `deploy: '--stack' must be a stack in ${output()} (one, two), got: none\n`,
  });
});

test("a state with Kubernetes and settings without it: a warning, because CLUSTER_SETTINGS may be missing", () => {
  const steps = (...names: readonly string[]) => ({
    null_resource: Object.fromEntries(names.map((name) => [name, {}])),
  });
  const warnings = (script: string) =>
    run(script, ["--skip-synth", "--output", output()], { TERRAFORM_BINARY_NAME: "true" }).stderr;
  synthesized({ resource: steps("pems-worker-0") });
  expect(warnings("deploy")).toBe("");
  const deployed = (name: string) => {
    const resources = [{ type: "null_resource", name }];
    writeFileSync(join(stackFolder(), "terraform.tfstate"), JSON.stringify({ resources }));
  };
  deployed("pems-worker-0");
  expect(warnings("deploy")).toBe("");
  deployed("addons");
  for (const script of ["deploy", "diff"]) {
    expect(warnings(script)).toBe(
      `${script}: warning: the state has a cluster with Kubernetes, and these settings have none: is CLUSTER_SETTINGS missing? (A deploy uninstalls nothing.)\n`,
    );
  }
  expect(warnings("destroy")).toBe("");
  synthesized({ resource: steps("addons") });
  expect(warnings("deploy")).toBe("");
  synthesized({ terraform: { backend: { local: { path: "other.tfstate" } } }, resource: steps() });
  expect(warnings("deploy")).toBe("");
  synthesized({ terraform: { backend: { s3: {} } }, resource: steps() });
  expect(warnings("deploy")).toBe("");
});

describeSuite("real Terraform", () => {
  test("a deploy, a second one, a diff and a destroy: options are Terraform's, and no plan is left", () => {
    synthesized(data({ a: { input: "x" } }), "one", "two");
    const on = (script: string, ...args: readonly string[]) => runOn(script, "--stack", "one", ...args);
    const planned = on("diff");
    expect(planned).toMatchObject({ status: 0, stderr: "" });
    expect(planned.stdout).toContain("Plan: 1 to add, 0 to change, 0 to destroy.");
    expect(on("diff", "-detailed-exitcode").status).toBe(2);
    // Without a terminal, nobody answers the question.
    expect(on("deploy").status).toBe(1);
    expect(on("deploy", "--auto-approve").stdout).toContain("Resources: 1 added, 0 changed, 0 destroyed.");
    expect(statSync(join(stackFolder(), "terraform.tfstate")).mode & 0o777).toBe(0o600);
    expect(on("diff").stdout).toContain("No changes.");
    const replaced = on("deploy", "-auto-approve", "-replace=terraform_data.a");
    expect(replaced.stdout).toContain("Resources: 1 added, 0 changed, 1 destroyed.");
    expect(on("destroy", "-auto-approve").stdout).toContain("Destroy complete! Resources: 1 destroyed.");
    expect(readdirSync(stackFolder()).sort()).toEqual(["cdk.tf.json", "terraform.tfstate", "terraform.tfstate.backup"]);
  });

  test("Terraform's errors reach the terminal to the last line, and nothing is cleared", async () => {
    const lines = Array.from({ length: 200 }, (_, index) => `line ${index}`);
    synthesized(data({ a: command(`echo begun; echo '${lines.join("\n")}' >&2; exit 7`) }));
    for (let round = 0; round < 3; round++) {
      const { status, output: printed } = await (await startDeploy("begun")).ended;
      expect(status).toBe(1);
      expect(CLEARS.filter((sequence) => printed.includes(sequence))).toEqual([]);
      expect(printed).toMatch(/Error: local-exec provisioner error\r\n[\s\S]*exit status 7[\s\S]*line 199\r\n/);
    }
  });

  test("one Ctrl-C: Terraform stops its work and saves its state, and the deploy waits for it", async () => {
    synthesized(data({ a: command("echo under way; sleep 30") }));
    const deploy = await startDeploy("): under way");
    deploy.process.stdin?.write("\x03");
    const { status, output: printed } = await deploy.ended;
    expect(status).toBe(1);
    expect(printed.match(/Interrupt received\./g)).toHaveLength(1);
    expect(printed).not.toContain("Two interrupts received");
    expect(printed).toContain(
      "interrupted: the same command again continues, unless a machine stays stopped: docs/recovery.md#a-machine-that-stays-stopped",
    );
    expect(isLocked()).toBe(false);
    expect(readState().resources[0].instances).toMatchObject([{ status: "tainted" }]);
  });

  test("a Terraform that is killed is reported, with the page that has the next step", async () => {
    synthesized(data({ a: command("echo under way; sleep 30") }));
    const deploy = await startDeploy("): under way");
    spawnSync("pkill", ["-KILL", "-f", `^[^ ]*terraform -chdir=${stackFolder()} apply`]);
    const { status, output: printed } = await deploy.ended;
    expect(status).toBe(137);
    expect(printed).toContain("was ended by signal 9, before it could finish: docs/recovery.md has the next step");
  });

  test("a closed terminal: Terraform completes the apply in the background", async () => {
    synthesized(
      data({ a: command("echo under way; sleep 3; echo done >done"), b: { depends_on: ["terraform_data.a"] } }),
    );
    const deploy = await startDeploy("): under way");
    // The end of the program that holds the terminal: the kernel sends a hangup to every program in it.
    deploy.process.kill("SIGKILL");
    await deploy.ended;
    expect(existsSync(join(stackFolder(), "done"))).toBe(false);
    const isComplete = () => !isLocked() && readState().resources.length === 2;
    await until(isComplete, { what: () => readdirSync(stackFolder()).join(), seconds: 30 });
    expect(readState().resources.map(({ instances }: { instances: object[] }) => instances)).toEqual([
      [expect.not.objectContaining({ status: "tainted" })],
      [expect.not.objectContaining({ status: "tainted" })],
    ]);
  });

  test("the first deploy takes its providers from a mirror, without a registry", () => {
    const mirror = join(folder, "mirror");
    const config = join(folder, "terraform.rc");
    writeFileSync(config, `provider_installation {\n  filesystem_mirror {\n    path = "${mirror}"\n  }\n}\n`);
    mkdirSync(mirror);
    synthesized({ terraform: { required_providers: { no: { source: "nobody/no", version: "1.0.0" } } } });
    const { status, stdout, stderr } = run("deploy", ["--skip-synth", "--output", output(), "-no-color"], {
      TF_CLI_CONFIG_FILE: config,
    });
    expect(status).toBe(1);
    // Terraform breaks lines.
    expect(`${stdout}${stderr}`.replaceAll(/[\s│]+/g, " ")).toContain(
      "provider registry.terraform.io/nobody/no was not found in any of the search locations",
    );
  });
});
