import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../../cloud/program";
import { describeSuite } from "../../cloud/requirements";

const PROJECT = join(__dirname, "../..");

let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "program-"));
});

afterEach(() => rmSync(scratch, { recursive: true }));

const review = (...args: string[]) =>
  spawnSync(process.execPath, ["--import", "tsx", "tools/review.ts", ...args], {
    cwd: PROJECT,
    encoding: "utf8",
    env: { ...process.env, TMPDIR: scratch },
  });

/** A plan of one machine that is replaced. */
function planFile(): string {
  const file = join(scratch, "plan.json");
  const change = {
    actions: ["delete", "create"],
    before: { private_ip: "10.0.0.4" },
    after: { private_ip: "10.0.0.5" },
    after_unknown: {},
  };
  const resource_changes = [{ address: "aws_instance.a", mode: "managed", change }];
  writeFileSync(file, JSON.stringify({ format_version: "1.2", resource_changes }));
  return file;
}

describe("npm run review", () => {
  test.each(["\u001b]0;title\u0007", "\u009b2J", "\u202ecba"])(
    "a plan's text cannot change the terminal: %#",
    (text) => {
      const file = planFile();
      writeFileSync(file, readFileSync(file, "utf8").replaceAll("10.0.0.5", JSON.stringify(text).slice(1, -1)));
      const kinds = ["--fail-on", "replace-machine"];
      for (const args of [["--format", "json", ...kinds], kinds, ["--stack", text]]) {
        const { stdout, stderr } = review("--plan", file, ...args);
        expect(`${stdout}${stderr}`).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
      }
      const { stdout } = review("--plan", file, "--format", "json");
      expect(JSON.stringify(JSON.parse(stdout))).toContain(JSON.stringify(text));
    },
  );

  test("prints the changes as a page or as JSON, and exits with 1 for a finding in --fail-on", () => {
    const plan = ["--plan", planFile()];
    const page = review(...plan);
    expect(page).toMatchObject({ status: 0, stderr: "" });
    expect(page.stdout).toMatch(/^## Changes in the cluster\n\n\*\*Findings: replace-machine\.\*\* 1 replaced\./);

    const json = review(...plan, "--format", "json", "--fail-on", "replace-ca,open-world");
    expect(json).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(json.stdout)).toMatchObject({
      resources: [{ address: "aws_instance.a", action: "replace" }],
      elsewhere: [],
      findings: [{ kind: "replace-machine", addresses: ["aws_instance.a"] }],
    });

    expect(review(...plan, "--fail-on", "replace-ca,replace-machine")).toEqual(
      expect.objectContaining({
        status: 1,
        stdout: page.stdout,
        stderr:
          "review: replace-machine: `aws_instance.a`: replaced by a machine with an empty disk and another public address\n",
      }),
    );
  });

  test.each([
    [["--base", "no-such-reference"], /^review: '--base' must be a git reference, got: no-such-reference\n$/],
    [[], /^review: exactly one of --base REFERENCE and --plan FILE is required\n$/],
    [["--base", "HEAD", "--plan", "a"], /^review: exactly one of --base REFERENCE and --plan FILE is required\n$/],
    [
      ["--plan", "/nowhere"],
      /^review: '--plan' must be a file with the output of `terraform show -json PLAN`, got: \/nowhere \(ENOENT.*\)\n$/,
    ],
    [["--base", "HEAD", "--format", "html"], /^review: '--format' must be one of markdown, json, sarif, got: html\n$/],
    [["--base", "HEAD", "--fail-on", "rain"], /^review: '--fail-on' must be one of partial, .*, got: rain\n$/],
    [
      ["--plan", "/nowhere", "--fail-on", "secret,backend"],
      /^review: '--fail-on' must be a kind that can be seen in a plan, got: backend; use --base for it\n$/,
    ],
    [
      ["--base", "HEAD", "--fail-on", "partial"],
      /^review: '--fail-on' must be a kind that can be seen without a plan, got: partial; use --plan for it\n$/,
    ],
    [
      ["--base", "HEAD", "--stack", "green"],
      /^review: '--stack' must be a stack of the working tree \(k8s-cluster-from-ground-up\), got: green\n$/,
    ],
    [["--rain"], /^review: '--rain' is not an option, did you mean '--base'\? allowed: --base, .*\n$/],
  ])("%j is refused in one line", (args, message) => {
    expect(review(...args)).toMatchObject({ status: 1, stdout: "", stderr: expect.stringMatching(message) });
  });

  test("prints SARIF for GitHub, about the settings, and links to GitHub in a workflow", () => {
    process.env.GITHUB_SERVER_URL = "https://github.com";
    process.env.GITHUB_REPOSITORY = "o/r";
    const { stdout, stderr } = review("--plan", planFile(), "--format", "sarif");
    delete process.env.GITHUB_SERVER_URL;
    delete process.env.GITHUB_REPOSITORY;
    expect(stderr).toBe("");
    const [run] = JSON.parse(stdout).runs;
    expect(run.results).toMatchObject([
      {
        ruleId: "replace-machine",
        locations: [
          {
            physicalLocation: { artifactLocation: { uri: "cdktf.json" }, region: { startLine: 7 } },
            logicalLocations: [{ fullyQualifiedName: "aws_instance.a" }],
          },
        ],
      },
    ]);
    const lines = readFileSync(join(PROJECT, "cdktf.json"), "utf8").split("\n");
    expect(lines[7 - 1]).toContain('"cluster"');
    for (const { helpUri } of run.tool.driver.rules)
      expect(helpUri).toMatch(/^https:\/\/github.com\/o\/r\/blob\/HEAD\/docs\//);
  });

  test("takes a plan in UTF-16, as PowerShell writes it", () => {
    const file = join(scratch, "utf16.json");
    writeFileSync(file, `\uFEFF${readFileSync(planFile(), "utf8")}`, "utf16le");
    expect(review("--plan", file).stdout).toContain("replace-machine");
  });

  test("adds the picture of the cluster to the page", () => {
    const { stdout } = review("--plan", planFile(), "--picture");
    expect(stdout).toMatch(/### The cluster\n\n```mermaid\nflowchart LR\n[^`]*\n```\n+$/);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s leaves no worktree and no folder behind", async (signal) => {
    const running = spawn(process.execPath, ["--import", "tsx", "tools/review.ts", "--base", "HEAD"], {
      cwd: PROJECT,
      env: { ...process.env, TMPDIR: scratch },
      stdio: "ignore",
    });
    const ended = new Promise((resolve) => running.on("exit", resolve));
    const folders = () => readdirSync(scratch).filter((name) => name.startsWith("review-"));
    const hasWorktree = () => folders().some((name) => existsSync(join(scratch, name, "base/cdktf.json")));
    await until(hasWorktree, { what: () => "a worktree", process: running });
    running.kill(signal);
    expect(await ended).toBe(128 + constants.signals[signal]);
    await sleep(500);
    expect(folders()).toEqual([]);
    expect(spawnSync("git", ["worktree", "list"], { cwd: PROJECT, encoding: "utf8" }).stdout).not.toContain(scratch);
  });
});

describeSuite("real Terraform", () => {
  const env = { ...process.env, TF_CLI_CONFIG_FILE: "/dev/null", CHECKPOINT_DISABLE: "1" };
  const tool = (name: string, ...args: string[]) =>
    spawnSync(join(PROJECT, "tools", name), args, { cwd: PROJECT, encoding: "utf8", env });
  const stack = () => join(scratch, "stack");
  const page = (name: string) => join(scratch, name);

  function synthesize(...names: string[]): void {
    mkdirSync(stack(), { recursive: true });
    const terraform_data = Object.fromEntries(names.map((name) => [name, { input: name }]));
    writeFileSync(join(stack(), "cdk.tf.json"), JSON.stringify({ resource: { terraform_data } }));
  }
  const applied = () =>
    JSON.parse(readFileSync(join(stack(), "terraform.tfstate"), "utf8")).resources.map(
      ({ name }: { name: string }) => name,
    );

  test.each(["more.tf", "x_override.tf.json", "terraform.d", "x.auto.tfvars"])(
    "plans nothing if the folder of the stack also has %s",
    (file) => {
      synthesize("a");
      writeFileSync(join(stack(), file), "");
      expect(tool("plan-page.sh", stack(), page("now"))).toMatchObject({
        status: 1,
        stderr: `the folder of a stack must have no files other than synthesis and Terraform write, got: ${join(stack(), file)}\n`,
      });
      expect(existsSync(page("now"))).toBe(false);
    },
  );

  test("writes no page if the plan fails, also not that of an older plan in the folder", () => {
    synthesize("a");
    expect(tool("plan-page.sh", stack(), page("older"))).toMatchObject({ status: 0 });
    const failing = { ...env, TF_CLI_ARGS_plan: "-unknown" };
    const run = spawnSync(join(PROJECT, "tools/plan-page.sh"), [stack(), page("now")], {
      cwd: PROJECT,
      encoding: "utf8",
      env: failing,
    });
    expect(run).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining("-unknown") });
    expect(existsSync(page("now"))).toBe(false);
  });

  test("applies a plan only if its page equals the reviewed page", () => {
    const open = process.umask(0o022);
    try {
      synthesize("a");
      expect(tool("plan-page.sh", stack(), page("reviewed"))).toMatchObject({ status: 0, stdout: "changes\n" });
      expect(readdirSync(page("reviewed")).sort()).toEqual(["cdk.tf.json", "changes.json", "page.md"]);
      expect(readFileSync(join(page("reviewed"), "page.md"), "utf8")).toContain("`terraform_data.a`: added");

      synthesize("a", "b");
      tool("plan-page.sh", stack(), page("now"));
      for (const reviewed of ["reviewed", "never"]) {
        const refused = tool("apply-reviewed.sh", stack(), page("now"), page(reviewed));
        expect(refused).toMatchObject({
          status: 1,
          stderr: expect.stringMatching(/not applied: this plan .*; open .*\n$/),
        });
        expect(existsSync(join(stack(), "terraform.tfstate"))).toBe(false);
      }

      synthesize("a");
      tool("plan-page.sh", stack(), page("now"));
      expect(tool("apply-reviewed.sh", stack(), page("now"), page("reviewed"))).toMatchObject({ status: 0 });
      expect(applied()).toEqual(["a"]);

      expect(tool("plan-page.sh", stack(), page("now"))).toMatchObject({ status: 0, stdout: "empty\n" });
      expect(tool("apply-reviewed.sh", stack(), page("now"), page("never"))).toMatchObject({
        status: 0,
        stdout: "nothing changes\n",
      });
      // A value with the text of an empty page does not count as an empty page.
      synthesize("a", "nothing-changes");
      writeFileSync(
        join(stack(), "cdk.tf.json"),
        readFileSync(join(stack(), "cdk.tf.json"), "utf8").replace(
          '"input":"nothing-changes"',
          '"input":"**Nothing changes.**"',
        ),
      );
      tool("plan-page.sh", stack(), page("now"));
      expect(tool("apply-reviewed.sh", stack(), page("now"), page("never"))).toMatchObject({ status: 1 });
      const modes = ["plan", "terraform.tfstate"].map(
        (name) => spawnSync("stat", ["-c", "%a", join(stack(), name)], { encoding: "utf8" }).stdout,
      );
      expect(modes).toEqual(["600\n", "600\n"]);
    } finally {
      process.umask(open);
    }
  });
});
