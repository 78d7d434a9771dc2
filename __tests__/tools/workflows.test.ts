import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ACTIONLINT, describeSuite } from "../../cloud/requirements";
import { TESTED } from "../../model/versions";
import { CONTROL_PLANE_FILES } from "../../testing/kubernetes-programs";
import type { Workflow } from "../../testing/workflow-job";

const PROJECT = join(__dirname, "../..");
const FOLDER = join(PROJECT, ".github/workflows");

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
    ["drift.yml", { ...read, "id-token": "write" }],
    ["drift.yml", { issues: "write" }],
    ["plan.yml", { ...read, "id-token": "write" }],
    ["plan.yml", { "pull-requests": "write" }],
    ["review-comment.yml", { actions: "read", "pull-requests": "write" }],
    ["review.yml", read],
  ]);
});

test("a pull request's code runs without a token that can write, and gets credentials only in an environment", () => {
  for (const { name, workflow, job } of jobs) {
    const runsCode = job.steps.some(({ uses = "" }) => uses.startsWith("actions/checkout"));
    const permissions = job.permissions ?? workflow.permissions ?? {};
    if ("pull_request_target" in workflow.on) expect(name).toBe("review-comment.yml");
    if (!("pull_request" in workflow.on)) {
      const isPlanOfMain = "id-token" in permissions;
      expect({ name, runsCode }).toEqual({ name, runsCode: isPlanOfMain });
    }
    if (runsCode) for (const each of ["issues", "pull-requests"]) expect(permissions).not.toHaveProperty(each, "write");
    if ("id-token" in permissions) {
      expect(job.environment).toBe(name.replace(".yml", ""));
      expect(job.if).toContain(`vars.AWS_${name.replace(".yml", "").toUpperCase()}_ROLE != ''`);
    }
  }
  expect(workflows["plan.yml"]?.jobs.plan?.if).toContain("head.repo.full_name == github.repository");
});

test("drift.yml runs each day and by hand, one run at a time, with the code of main", () => {
  const { on, concurrency, jobs } = workflows["drift.yml"] as Workflow;
  expect(on).toEqual({
    schedule: [{ cron: expect.stringMatching(/^[1-9]\d? \d+ \* \* \*$/) }],
    workflow_dispatch: null,
  });
  expect(concurrency).toEqual({ group: "drift", "cancel-in-progress": false });
  expect(jobs.plan?.if).toContain("github.ref == 'refs/heads/main'");
  const checkout = jobs.plan?.steps.find(({ uses }) => uses?.startsWith("actions/checkout@"));
  expect(checkout?.with).toEqual({ ref: "main", "persist-credentials": false });
});

test("the job that writes the drift's issue runs only its own script and one action", () => {
  const steps = workflows["drift.yml"]?.jobs.issue?.steps ?? [];
  expect(steps.map(({ name, uses }) => name ?? uses?.split("@")[0])).toEqual([
    "actions/download-artifact",
    "Write the issue",
  ]);
});

test("no checkout keeps a token, and no job uploads a plan", () => {
  const steps = jobs.flatMap(({ job }) => job.steps);
  const using = (action: string) =>
    steps.filter(({ uses = "" }) => uses.startsWith(`${action}@`)).map((each) => each.with);
  const checkouts = using("actions/checkout");
  expect(checkouts.map((each) => each?.["persist-credentials"])).toEqual(checkouts.map(() => false));
  const uploads = using("actions/upload-artifact");
  expect(uploads.map((each) => each?.path)).toEqual(uploads.map(() => expect.stringMatching(/\/page$/)));
});

test("the job with a token for any pull request runs only its own scripts and two actions", () => {
  const steps = workflows["review-comment.yml"]?.jobs.comment?.steps ?? [];
  expect(steps.map(({ name, uses }) => name ?? uses?.split("@")[0])).toEqual([
    "Find the page",
    "actions/download-artifact",
    "Write the comment",
    "marocchino/sticky-pull-request-comment",
  ]);
});

test("artifacts and comments are outside of the checkout, where no committed file can take their place", () => {
  const actions = /^(actions\/(up|down)load-artifact|marocchino\/sticky-pull-request-comment)@/;
  const steps = jobs.flatMap(({ job }) => job.steps).filter(({ uses = "" }) => actions.test(uses));
  expect(steps.length).toBe(9);
  for (const step of steps) expect(step.with?.path).toMatch(/^\$\{\{ runner\.temp \}\}\/[\w.]+$/);
});

test("a page gets into a summary only by the script with GitHub's limit", () => {
  const pages = Object.values(texts).filter((text) => text.includes('page/page.md"\n'));
  expect(pages.filter((text) => text.includes("tools/write-summary.sh "))).toHaveLength(4);
  for (const text of Object.values(texts)) expect(text).not.toMatch(/page\.md.*>> "\$GITHUB_STEP_SUMMARY"/);
});

test("apply.yml applies only through apply-reviewed.sh, with the page of the approved plan", () => {
  const runs = workflows["apply.yml"]?.jobs.apply?.steps.map(({ run = "" }) => run) ?? [];
  expect(runs.filter((run) => run.includes("terraform"))).toEqual([]);
  expect(runs.at(-1)).toBe('tools/apply-reviewed.sh "$STACK" "$RUNNER_TEMP/page" "$RUNNER_TEMP/reviewed"');
});

test("no script contains an expression, because outsiders may write the text that replaces it", () => {
  for (const { job } of jobs) for (const { run = "" } of job.steps) expect(run).not.toContain("${{");
});

test("ci.yml downloads the release files of npm run control-plane", () => {
  const runs = workflows["ci.yml"]?.jobs.ci?.steps.map(({ run = "" }) => run) ?? [];
  expect(runs).toContain(
    ["npm run cloud -- download .cloud/releases", ...CONTROL_PLANE_FILES.map((path) => `https://${path}`)].join(" "),
  );
});

test("ci.yml downloads the conformance tests of the version that the tests use", () => {
  const runs = workflows["ci.yml"]?.jobs.ci?.steps.map(({ run = "" }) => run) ?? [];
  const archive = `https://dl.k8s.io/v${TESTED.kubernetes}/kubernetes-test-linux-amd64.tar.gz`;
  expect(runs).toContain(`npm run cloud -- download .cloud/releases ${archive}`);
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
