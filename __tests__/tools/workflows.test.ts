import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { ACTIONLINT, describeSuite } from "../../cloud/requirements";

const PROJECT = join(__dirname, "../..");
const FOLDER = join(PROJECT, ".github/workflows");

interface Step {
  readonly name?: string;
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Record<string, unknown>;
}
interface Job {
  readonly if?: string;
  readonly environment?: string;
  readonly permissions?: Record<string, string>;
  readonly steps: readonly Step[];
}
interface Workflow {
  readonly on: Record<string, unknown>;
  readonly permissions?: Record<string, string>;
  readonly jobs: Record<string, Job>;
}

const texts = Object.fromEntries(readdirSync(FOLDER).map((name) => [name, readFileSync(join(FOLDER, name), "utf8")]));
const workflows: Record<string, Workflow> = Object.fromEntries(
  Object.entries(texts).map(([name, text]) => [name, parse(text)]),
);
const jobs = Object.entries(workflows).flatMap(([name, workflow]) =>
  Object.values(workflow.jobs).map((job) => ({ name, workflow, job })),
);

test("actions are pinned to commits, with the version in a comment", () => {
  const uses = Object.values(texts).flatMap((text) => [...text.matchAll(/uses: (.*)/g)].map(([, action]) => action));
  expect(uses.length).toBeGreaterThan(10);
  for (const action of uses) expect(action).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
});

test("each job has exactly the permissions that docs/github.md lists", () => {
  const may = jobs.map(({ name, workflow, job }) => [name, job.permissions ?? workflow.permissions]);
  const read = { contents: "read" };
  expect(may).toEqual([
    ["apply.yml", { ...read, actions: "read", "id-token": "write", "pull-requests": "read" }],
    ["ci.yml", read],
    ["ci.yml", read],
    ["plan.yml", { ...read, "id-token": "write" }],
    ["plan.yml", { "pull-requests": "write" }],
    ["review-comment.yml", { actions: "read", "pull-requests": "write" }],
    ["review.yml", read],
  ]);
});

test("a pull request's code runs without a token that can write, and gets credentials only in an environment", () => {
  for (const { name, workflow, job } of jobs) {
    expect(Object.keys(workflow.on)).not.toContain("pull_request_target");
    const runsCode = job.steps.some(({ uses = "" }) => uses.startsWith("actions/checkout"));
    const permissions = job.permissions ?? workflow.permissions ?? {};
    if (!("pull_request" in workflow.on)) expect({ name, runsCode }).toEqual({ name, runsCode: name === "apply.yml" });
    if (runsCode) expect(permissions).not.toHaveProperty("pull-requests", "write");
    if ("id-token" in permissions) {
      expect(job.environment).toBe(name.replace(".yml", ""));
      expect(job.if).toContain(`vars.AWS_${name.replace(".yml", "").toUpperCase()}_ROLE != ''`);
    }
  }
  expect(workflows["plan.yml"]?.jobs.plan?.if).toContain("head.repo.full_name == github.repository");
});

test("no checkout keeps a token, and no job uploads a plan", () => {
  const steps = jobs.flatMap(({ job }) => job.steps);
  const using = (action: string) =>
    steps.filter(({ uses = "" }) => uses.startsWith(`${action}@`)).map((each) => each.with);
  const checkouts = using("actions/checkout");
  expect(checkouts.map((each) => each?.["persist-credentials"])).toEqual(checkouts.map(() => false));
  expect(using("actions/upload-artifact").map((each) => each?.path)).toEqual(["page", "page/page.md"]);
});

test("apply.yml applies only through apply-reviewed.sh, with the page of the approved plan", () => {
  const runs = workflows["apply.yml"]?.jobs.apply?.steps.map(({ run = "" }) => run) ?? [];
  expect(runs.filter((run) => run.includes("terraform"))).toEqual([]);
  expect(runs.at(-1)).toBe("tools/apply-reviewed.sh cdktf.out/stacks/* page reviewed");
});

test("no script contains an expression, because outsiders may write the text that replaces it", () => {
  for (const { job } of jobs) for (const { run = "" } of job.steps) expect(run).not.toContain("${{");
});

function step(workflow: string, name: string): string {
  const steps = jobs.filter((each) => each.name === workflow).flatMap(({ job }) => job.steps);
  return steps.find((each) => each.name === name)?.run as string;
}

describe("the steps of the workflows, in a checkout of a merge commit", () => {
  const checkout = mkdtempSync(join(tmpdir(), "workflow-"));
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...args], { cwd: checkout });
  const run = (workflow: string, name: string) =>
    spawnSync("bash", ["-eo", "pipefail", "-c", step(workflow, name)], {
      cwd: checkout,
      encoding: "utf8",
      env: { ...process.env, GITHUB_STEP_SUMMARY: join(checkout, "summary.md") },
    });

  beforeAll(() => {
    const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
      cwd: PROJECT,
      encoding: "utf8",
    });
    for (const file of files.split("\0").filter(Boolean)) {
      mkdirSync(join(checkout, dirname(file)), { recursive: true });
      cpSync(join(PROJECT, file), join(checkout, file));
    }
    git("init", "-q", "--initial-branch=main");
    git("add", "-A");
    git("commit", "-q", "-m", "base");
    git("checkout", "-q", "-b", "theirs");
    writeFileSync(
      join(checkout, "cdktf.json"),
      readFileSync(join(checkout, "cdktf.json"), "utf8").replace(
        '"cluster": {}',
        '"cluster": { "workers": { "count": 4 } }',
      ),
    );
    git("commit", "-q", "-a", "-m", "theirs");
    git("checkout", "-q", "main");
    git("merge", "-q", "--no-ff", "--no-edit", "theirs");
    symlinkSync(join(PROJECT, "node_modules"), join(checkout, "node_modules"));
  });

  afterAll(() => rmSync(checkout, { recursive: true }));

  test("the page contains the changes since the base, and then the diagram", () => {
    expect(run("review.yml", "Write the page")).toMatchObject({ status: 0, stderr: "" });
    const page = readFileSync(join(checkout, "page/page.md"), "utf8");
    expect(page).toMatch(/^## Changes in the cluster\n\n\*\*No findings\.\*\* 6 added\./);
    expect(page).toMatch(/\n```mermaid\nflowchart LR\n.*worker-3.*\n```\n\n<\/details>\n$/s);
    expect(readFileSync(join(checkout, "summary.md"), "utf8")).toBe(page);
  });

  test.each(["plan.yml", "review-comment.yml"])(
    "%s adds the source of a page, and disables HTML comments in the page",
    (workflow) => {
      mkdirSync(join(checkout, "page"), { recursive: true });
      writeFileSync(join(checkout, "page/page.md"), "## A page\n<!-- Sticky Pull Request Commentplan -->\n");
      process.env.HEAD_SHA = "0123abc";
      expect(run(workflow, "Add the source of the page")).toMatchObject({ status: 0, stderr: "" });
      expect(readFileSync(join(checkout, "comment.md"), "utf8")).toMatch(
        /^(The plan for 0123abc|The review of 0123abc without a plan, made by the code of this pull request):\n\n## A page\n<\\!-- Sticky/,
      );
    },
  );

  test.each(["plan.yml", "apply.yml"])("%s refuses a local state, which would be lost with the runner", (workflow) => {
    const stack = join(checkout, "cdktf.out/stacks/a");
    mkdirSync(stack, { recursive: true });
    const check = (backend: object) => {
      writeFileSync(join(stack, "cdk.tf.json"), JSON.stringify({ terraform: { backend } }, null, 2));
      return run(workflow, "Refuse local state");
    };
    expect(check({ s3: { bucket: "states" } })).toMatchObject({ status: 0, stdout: "" });
    expect(check({ local: { path: "a.tfstate" } })).toMatchObject({
      status: 1,
      stdout: "::error::'backend.type' must be s3 if a workflow plans, got: local\n",
    });
  });
});

describeSuite("actionlint", () => {
  test("actionlint finds no problem in the workflows", () => {
    const [go, ...args] = ACTIONLINT;
    // Without the linters of scripts, because only some machines have them.
    const { status, stdout, stderr } = spawnSync(go, [...args, "-shellcheck=", "-pyflakes="], {
      cwd: PROJECT,
      encoding: "utf8",
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});
