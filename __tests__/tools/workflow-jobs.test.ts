/** The scripts of the workflows, run by bash with the real gh, on GitHub's documented answers (testing/fake-github.ts). */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { describeSuite } from "../../cloud/requirements";
import {
  FakeGitHub,
  type Issue,
  type PullRequest,
  REPOSITORY,
  type Run,
  WORKFLOW_USER,
} from "../../testing/fake-github";
import { type Job, type JobResult, type JobRun, runJob, type Workflow } from "../../testing/workflow-job";

const PROJECT = join(__dirname, "../..");
const FORK = "eve/cluster";
const HEAD = "aaaa".repeat(10);
const NEWER = "bbbb".repeat(10);
const MERGED = "cccc".repeat(10);
const OTHER = "dddd".repeat(10);

const scriptsThatRan = new Set<string>();
let github: FakeGitHub;
beforeEach(async () => {
  github = new FakeGitHub();
  await github.start();
});
afterEach(() => github.stop());

function load(file: string): Workflow {
  return parse(readFileSync(join(PROJECT, ".github/workflows", file), "utf8"));
}

async function run(
  file: string,
  job: string,
  options: Omit<JobRun, "github" | "workflow" | "job">,
): Promise<JobResult> {
  const workflow = load(file);
  const result = await runJob({ github, workflow, job: workflow.jobs[job] as Job, ...options });
  for (const name of result.ran) scriptsThatRan.add(`${file}: ${name}`);
  return result;
}

/** An open pull request from a branch of the repository into main. */
function open(change: Partial<PullRequest> = {}): PullRequest {
  const pullRequest: PullRequest = {
    number: 7,
    state: "open",
    merged_at: null,
    merge_commit_sha: "eeee".repeat(10),
    head: { ref: "topic", sha: HEAD, repo: { full_name: REPOSITORY } },
    base: { ref: "main", repo: { full_name: REPOSITORY } },
    ...change,
  };
  github.pullRequests.push(pullRequest);
  github.commits.set(pullRequest.number, [pullRequest.head.sha]);
  return pullRequest;
}

/** Merges a pull request: `commits` are those that are new on its base. */
function merge(pullRequest: PullRequest, commits: readonly string[] = [MERGED]): void {
  Object.assign(pullRequest, { state: "closed", merged_at: "2026-01-02T00:00:00Z", merge_commit_sha: commits.at(-1) });
  github.commits.set(pullRequest.number, commits);
}

/** A successful run for the last commit of {@link open}'s pull request. */
function ran(file: string, change: Partial<Run> = {}): Run {
  const id = change.id ?? 100;
  const each: Run = {
    id,
    name: file.replace(".yml", ""),
    path: `.github/workflows/${file}`,
    event: "pull_request",
    status: "completed",
    conclusion: "success",
    head_sha: HEAD,
    head_branch: "topic",
    head_repository: of(REPOSITORY),
    html_url: `https://github.com/${REPOSITORY}/actions/runs/${id}`,
    run_attempt: 1,
    run_started_at: "2026-01-01T00:00:00Z",
    ...change,
  };
  github.runs.push(each);
  return each;
}

function of(repository: string): Run["head_repository"] {
  return { full_name: repository, owner: { login: repository.split("/")[0] as string } };
}

describeSuite("the workflows' scripts", () => {
  describe.each([
    ["GitHub filters as documented", false],
    ["GitHub ignores the filters", true],
  ])("apply.yml finds the reviewed run after the merge (%s)", (_, ignoresFilters) => {
    beforeEach(() => {
      github.ignoresFilters = ignoresFilters;
    });

    async function find(): Promise<JobResult> {
      return run("apply.yml", "apply", {
        run: 900,
        event: { name: "push", payload: {} },
        sha: MERGED,
        without: ["Find the stack", "Write the page", "Apply the reviewed plan"],
        prepare: (temporary) => mkdirSync(join(temporary, "page")),
      });
    }
    function approve(id: number, state: "approved" | "rejected" | "pending" = "approved", environment = "plan"): void {
      github.approvals.set(id, [{ state, environments: [{ name: environment }] }]);
    }
    function page(id: number, number = 7, files: object | "expired" = { "page.md": `page of ${id}\n` }): void {
      const artifacts = github.artifacts.get(id) ?? new Map();
      github.artifacts.set(id, artifacts.set(`plan-page-${number}`, files));
    }
    /** A pull request with an approved run, and merged with a squash. */
    function merged(): { pullRequest: PullRequest; planned: Run } {
      const pullRequest = open();
      const planned = ran("plan.yml");
      approve(planned.id);
      page(planned.id);
      merge(pullRequest);
      return { pullRequest, planned };
    }

    test.each([
      ["a merge commit", [HEAD, MERGED]],
      ["a squash", [MERGED]],
      ["a rebase of two commits", [OTHER, MERGED]],
    ])("after %s", async (_, commits) => {
      merge(merged().pullRequest, commits);
      expect(await find()).toMatchObject({
        result: "success",
        outputs: { reviewed: { number: "7", run: "100" } },
        log: "",
      });
    });

    test("the page of a run that somebody started again comes from its last attempt", async () => {
      const { planned } = merged();
      ran("plan.yml", { id: 101, run_started_at: "2026-01-01T01:00:00Z" });
      approve(101);
      page(101);
      expect((await find()).outputs.reviewed).toEqual({ number: "7", run: "101" });
      Object.assign(planned, { run_attempt: 2, run_started_at: "2026-01-01T02:00:00Z" });
      expect((await find()).outputs.reviewed).toEqual({ number: "7", run: "100" });
    });

    test("a second run that nobody approved does not hide the first one", async () => {
      merged();
      ran("plan.yml", { id: 101, run_started_at: "2026-01-01T01:00:00Z" });
      page(101);
      expect((await find()).outputs.reviewed).toEqual({ number: "7", run: "100" });
    });

    test("of two pull requests from one branch, the page is that of the merged one", async () => {
      merged();
      open({ number: 8, base: { ref: "next", repo: { full_name: REPOSITORY } } });
      ran("plan.yml", { id: 101, run_started_at: "2026-01-01T01:00:00Z" });
      approve(101);
      page(101, 8);
      expect((await find()).outputs.reviewed).toEqual({ number: "7", run: "100" });
    });

    type Merged = ReturnType<typeof merged>;
    const NO_RUN =
      /^::notice::There is no reviewed plan: no approved run of plan.yml has a page of pull request 7 at \w+\.\n$/;
    const NO_MERGE =
      /^::notice::There is no reviewed plan, because this push is not the merge of exactly one pull request\.\n$/;
    const NO_PLAN = /^::notice::There is no reviewed plan, because pull request 7 is from another repository\.\n$/;
    test.each<[string, RegExp, (each: Merged) => void]>([
      ["a run that nobody approved", NO_RUN, () => github.approvals.clear()],
      ["a run that somebody rejected", NO_RUN, () => approve(100, "rejected")],
      ["a run that waits for its approval", NO_RUN, () => approve(100, "pending")],
      ["a run that was approved for another environment", NO_RUN, () => approve(100, "approved", "apply")],
      ["a newer push after the approval", NO_RUN, ({ pullRequest }) => Object.assign(pullRequest.head, { sha: NEWER })],
      [
        "a run of another file with the same name",
        NO_RUN,
        ({ planned }) => Object.assign(planned, { path: ".github/workflows/mine.yml" }),
      ],
      [
        "a run of a file in another folder",
        NO_RUN,
        ({ planned }) => Object.assign(planned, { path: "x/.github/workflows/plan.yml" }),
      ],
      [
        "a fork's run with the same branch and commit",
        NO_RUN,
        ({ planned }) => Object.assign(planned, { head_repository: of(FORK) }),
      ],
      ["a run of a fork that was deleted", NO_RUN, ({ planned }) => Object.assign(planned, { head_repository: null })],
      [
        "a run of another branch with the same commit",
        NO_RUN,
        ({ planned }) => Object.assign(planned, { head_branch: "other" }),
      ],
      ["a run for a push", NO_RUN, ({ planned }) => Object.assign(planned, { event: "push" })],
      ["a run that failed", NO_RUN, ({ planned }) => Object.assign(planned, { conclusion: "failure" })],
      [
        "a run in progress",
        NO_RUN,
        ({ planned }) => Object.assign(planned, { status: "in_progress", conclusion: null }),
      ],
      ["a page that GitHub has deleted after its 90 days", NO_RUN, () => page(100, 7, "expired")],
      ["a run without a page", NO_RUN, () => github.artifacts.clear()],
      [
        "a page of another pull request from the same branch",
        NO_RUN,
        () => github.artifacts.set(100, new Map([["plan-page-70", {}]])),
      ],
      [
        "a fork's pull request",
        NO_PLAN,
        ({ pullRequest }) => Object.assign(pullRequest.head, { repo: { full_name: FORK } }),
      ],
      [
        "a pull request of a fork that was deleted",
        NO_PLAN,
        ({ pullRequest }) => Object.assign(pullRequest.head, { repo: null }),
      ],
      [
        "a pull request into another branch",
        NO_MERGE,
        ({ pullRequest }) => Object.assign(pullRequest.base, { ref: "next" }),
      ],
      [
        "a pull request into another repository",
        NO_MERGE,
        ({ pullRequest }) => Object.assign(pullRequest.base, { repo: { full_name: FORK } }),
      ],
      [
        "a pull request that is not merged yet",
        NO_MERGE,
        ({ pullRequest }) => Object.assign(pullRequest, { state: "open", merged_at: null }),
      ],
      [
        "a push of a commit that is not the result of the merge",
        NO_MERGE,
        ({ pullRequest }) => Object.assign(pullRequest, { merge_commit_sha: OTHER }),
      ],
      ["a push without a pull request", NO_MERGE, () => github.commits.clear()],
      ["a push that merges two pull requests", NO_MERGE, () => merge(open({ number: 8 }))],
    ])("finds no run: %s", async (_, log, change) => {
      change(merged());
      const { result, outputs, log: printed } = await find();
      expect({ result, reviewed: outputs.reviewed }).toEqual({ result: "success", reviewed: {} });
      expect(printed).toMatch(log);
    });

    test("fails if GitHub does not answer", async () => {
      merged();
      await github.stop();
      expect(await find()).toMatchObject({ result: "failure", outputs: { reviewed: {} } });
      await github.start();
    });
  });

  describe("review-comment.yml", () => {
    const PAGE = "## Changes in the cluster\n";
    const at = (number: number, base = "main", head = HEAD) => `${number} ${base} ${head}\n`;

    /** The job after a run of a workflow named review. */
    const afterRun = (workflow_run: Run) =>
      run("review-comment.yml", "comment", { run: 900, event: { name: "workflow_run", payload: { workflow_run } } });
    /** The job after a push to a pull request, or another change of it. */
    const afterChange = (pull_request: PullRequest, payload: object = { action: "synchronize" }) =>
      run("review-comment.yml", "comment", {
        run: 900,
        event: { name: "pull_request_target", payload: { ...payload, pull_request } },
      });
    function page(
      id: number,
      files: object | "expired" = { "page.md": PAGE, "pull-request": at(7) },
      number = 7,
    ): void {
      const artifacts = github.artifacts.get(id) ?? new Map();
      github.artifacts.set(id, artifacts.set(`review-page-${number}`, files));
    }
    const comment = (number = 7) => github.comments.get(`${number} review`);
    const shown = (head = HEAD, base = "main", text = PAGE) =>
      `The review of ${head} against \`${base}\` without a plan, made by the code of this pull request. If this is not the\n` +
      `last commit, there is no page of the last commit.\n\n${text}`;
    const none = (head = HEAD, base = "main") =>
      `There is no page of ${head} against \`${base}\` yet. \`review.yml\` makes it. It makes none if the pull request\n` +
      "has a conflict with its base or changes that workflow, or while the run waits for an approval.\n";

    test.each([
      ["the repository", REPOSITORY],
      ["a fork", FORK],
    ])("shows the page of the last commit, from a branch of %s", async (_, repository) => {
      open({ head: { ref: "topic", sha: HEAD, repo: { full_name: repository } } });
      const review = ran("review.yml", { head_repository: of(repository) });
      page(100);
      expect(await afterRun(review)).toMatchObject({ result: "success", log: "" });
      expect([...github.comments]).toEqual([["7 review", shown()]]);
    });

    test("disables HTML comments in the page, because comments are found by them", async () => {
      open();
      page(100, { "page.md": "<!-- Sticky Pull Request Commentplan -->\n", "pull-request": at(7) });
      await afterRun(ran("review.yml"));
      expect(comment()).toBe(shown(HEAD, "main", "<\\!-- Sticky Pull Request Commentplan -->\n"));
    });

    test("a push removes the page of an older commit at once, also if the fork has stopped review.yml", async () => {
      const pullRequest = open({ head: { ref: "topic", sha: HEAD, repo: { full_name: FORK } } });
      page(100);
      await afterRun(ran("review.yml", { head_repository: of(FORK) }));
      expect(comment()).toBe(shown());
      pullRequest.head.sha = NEWER;
      await afterChange(pullRequest);
      expect(comment()).toBe(none(NEWER));
    });

    test("a run for an older commit does not bring back its page", async () => {
      const pullRequest = open();
      const older = ran("review.yml");
      page(100);
      pullRequest.head.sha = NEWER;
      await afterRun(older);
      expect(comment()).toBe(none(NEWER));
      ran("review.yml", { id: 101, head_sha: NEWER });
      page(101, { "page.md": "newer\n", "pull-request": at(7, "main", NEWER) });
      await afterRun(Object.assign(older, { run_attempt: 2, run_started_at: "2026-01-03T00:00:00Z" }));
      expect(comment()).toBe(shown(NEWER, "main", "newer\n"));
    });

    test("a job that starts late shows the page that is there by then", async () => {
      const pullRequest = open();
      ran("review.yml");
      page(100);
      await afterChange(pullRequest);
      expect(comment()).toBe(shown());
    });

    test("another base needs another page", async () => {
      const pullRequest = open({ base: { ref: "next", repo: { full_name: REPOSITORY } } });
      page(100, { "page.md": PAGE, "pull-request": at(7, "next") });
      await afterRun(ran("review.yml"));
      expect(comment()).toBe(shown(HEAD, "next"));
      pullRequest.base.ref = "main";
      await afterChange(pullRequest, { action: "edited", changes: { base: { ref: { from: "next" } } } });
      expect(comment()).toBe(none());
      page(101);
      await afterRun(ran("review.yml", { id: 101, run_started_at: "2026-01-01T01:00:00Z" }));
      expect(comment()).toBe(shown());
    });

    test("an edit of the title does nothing", async () => {
      const edited = await afterChange(open(), { action: "edited", changes: { title: { from: "a" } } });
      expect(edited.result).toBe("skipped");
    });

    test.each<[string, (review: Run) => void]>([
      ["has another file and the same name", (review) => Object.assign(review, { path: ".github/workflows/mine.yml" })],
      [
        "waits for the approval of a first contribution",
        (review) => Object.assign(review, { conclusion: "action_required" }),
      ],
      ["was skipped", (review) => Object.assign(review, { conclusion: "skipped" })],
      ["is in progress again", (review) => Object.assign(review, { status: "in_progress", conclusion: null })],
      ["was cancelled", (review) => Object.assign(review, { conclusion: "cancelled" })],
      ["has no page", () => github.artifacts.clear()],
      [
        "has only an artifact of another pull request",
        () => github.artifacts.set(100, new Map([["review-page-70", { "page.md": PAGE, "pull-request": at(7) }]])),
      ],
      ["has a page that is deleted", () => page(100, "expired")],
      ["has a page of another pull request", () => page(100, { "page.md": PAGE, "pull-request": at(8) })],
      ["has a page of another commit", () => page(100, { "page.md": PAGE, "pull-request": at(7, "main", OTHER) })],
      ["has a page without its pull request", () => page(100, { "page.md": PAGE })],
      ["has no file of the page's name", () => page(100, { "pull-request": at(7) })],
      ["has a link as page", () => page(100, { "page.md": { link: "/etc/hostname" }, "pull-request": at(7) })],
      ["has a link as pull request", () => page(100, { "page.md": at(7), "pull-request": { link: "page.md" } })],
    ])("reports that there is no page if the run %s", async (_, change) => {
      open();
      const review = ran("review.yml");
      page(100);
      change(review);
      for (const ignoresFilters of [false, true]) {
        github.ignoresFilters = ignoresFilters;
        github.comments.clear();
        expect((await afterRun(review)).result).toBe("success");
        expect(comment()).toBe(none());
      }
    });

    test.each<[string, Partial<Run>]>([
      ["another commit", { head_sha: OTHER }],
      ["another branch with the same commit", { head_branch: "other" }],
      ["a fork with the same branch and commit", { head_repository: of(FORK) }],
      ["a fork that was deleted", { head_repository: null }],
      ["a push", { event: "push" }],
    ])("takes no page from a run of %s", async (_, change) => {
      const pullRequest = open();
      ran("review.yml", change);
      page(100);
      for (const ignoresFilters of [false, true]) {
        github.ignoresFilters = ignoresFilters;
        await afterChange(pullRequest);
        expect(comment()).toBe(none());
      }
    });

    test("links to a run that failed, and not to an older one that succeeded", async () => {
      open();
      ran("review.yml");
      page(100);
      await afterRun(ran("review.yml", { id: 101, conclusion: "failure", run_started_at: "2026-01-01T01:00:00Z" }));
      expect(comment()).toBe(
        `There is no page of ${HEAD}: the review failed. [The run](https://github.com/octo-org/cluster/actions/runs/101) shows the reason.\n`,
      );
    });

    test.each([
      [
        "a fork's branch with the name of a branch of the repository",
        () => ran("review.yml", { head_repository: of(FORK) }),
      ],
      ["a fork that was deleted", () => ran("review.yml", { head_repository: null })],
      ["a branch without an open pull request", () => ran("review.yml", { head_branch: "other" })],
    ])("writes no comment for %s", async (_, review) => {
      open();
      for (const ignoresFilters of [false, true]) {
        github.ignoresFilters = ignoresFilters;
        const each = review();
        page(each.id);
        expect(await afterRun(each)).toMatchObject({
          result: "success",
          log: "::notice::No comment: the branch has no open pull request.\n",
        });
        expect([...github.comments]).toEqual([]);
      }
    });

    test("two pull requests from one branch get their own pages", async () => {
      open();
      open({ number: 8, base: { ref: "next", repo: { full_name: REPOSITORY } } });
      const first = ran("review.yml");
      page(100);
      const second = ran("review.yml", { id: 101, run_started_at: "2026-01-01T01:00:00Z" });
      page(101, { "page.md": "next\n", "pull-request": at(8, "next") }, 8);
      await afterRun(second);
      await afterRun(first);
      expect([...github.comments].sort()).toEqual([
        ["7 review", shown()],
        ["8 review", shown(HEAD, "next", "next\n")],
      ]);
    });

    test.each([
      ["ASCII", "x"],
      ["letters of two bytes", "ü"],
      ["characters outside of the basic plane", "🌈"],
    ])("replaces a page of %s that is too long for a comment by a link", async (_, letter) => {
      open();
      const review = ran("review.yml");
      const room = 65_400 - shown(HEAD, "main", "").length;
      for (const [length, isShown] of [
        [room, letter.length === 1],
        [room + 1, false],
      ] as const) {
        const text = letter.repeat(length);
        page(100, { "page.md": text, "pull-request": at(7) });
        const { result } = await afterRun(review);
        expect(result).toBe("success");
        expect(comment()).toBe(
          isShown
            ? shown(HEAD, "main", text)
            : `The page of ${HEAD} is too long for a comment: [the run](${review.html_url}) shows it.\n`,
        );
      }
    });
  });

  describe("plan.yml's comment", () => {
    const URL = "https://github.com/octo-org/cluster/actions/runs/100";
    const comment = (pull_request: PullRequest, result = "success") =>
      run("plan.yml", "comment", {
        run: 100,
        event: { name: "pull_request", payload: { action: "synchronize", pull_request } },
        needs: { plan: { result } },
      });
    const page = (text: string) => github.artifacts.set(100, new Map([["plan-page-7", { "page.md": text }]]));
    const shown = (text: string) =>
      `The plan of ${HEAD} against \`main\`. If this is not the last commit, there is no plan of the last commit.\n\n${text}`;

    test("shows the page, and disables HTML comments in it", async () => {
      page("## A page\n<!-- Sticky Pull Request Commentreview -->\n");
      expect(await comment(open())).toMatchObject({ result: "success", log: "" });
      expect([...github.comments]).toEqual([
        ["plan", shown("## A page\n<\\!-- Sticky Pull Request Commentreview -->\n")],
      ]);
    });

    test("replaces the plan of an older commit after a failure or a rejection", async () => {
      github.comments.set("plan", "older");
      await comment(open(), "failure");
      expect(github.comments.get("plan")).toBe(`There is no plan of ${HEAD}: [the run](${URL}) failed.\n`);
    });

    test.each(["cancelled", "skipped"])("is not written if the plan was %s", async (result) => {
      expect((await comment(open(), result)).result).toBe("skipped");
    });

    test("of a newer commit stays if somebody starts a run for an older one again", async () => {
      github.comments.set("plan", "newer");
      page("older\n");
      const pullRequest = open();
      const event = structuredClone(pullRequest);
      pullRequest.head.sha = NEWER;
      expect(await comment(event)).toMatchObject({
        result: "success",
        log: `::notice::No comment: the last commit of the pull request is now ${NEWER}.\n`,
      });
      expect(github.comments.get("plan")).toBe("newer");
    });

    test("links to the run if the page is too long for a comment", async () => {
      const pullRequest = open();
      const room = 65_400 - shown("").length;
      page("x".repeat(room));
      await comment(pullRequest);
      expect(github.comments.get("plan")).toBe(shown("x".repeat(room)));
      page("x".repeat(room + 1));
      await comment(pullRequest);
      expect(github.comments.get("plan")).toBe(
        `The plan of ${HEAD} has a page that is too long for a comment: [the run](${URL}) shows it.\n`,
      );
    });
  });

  describe("drift.yml's issue", () => {
    const PAGE = "## Changes in the cluster\n";
    const TITLE = "Drift: AWS differs from the settings of main";
    const URL = "https://github.com/octo-org/cluster/actions/runs/100";
    const firstLine = (text: string) => `<!-- drift.yml ${createHash("sha256").update(text).digest("hex")} -->`;
    const introduction = (text: string) =>
      `${firstLine(text)}\n` +
      `The plan of ${HEAD} on \`main\` has changes: AWS differs from the settings. \`docs/github.md\` lists the possible\n` +
      `reasons. The page shows the changes that an apply would make. [The run](${URL}) has the complete list. This issue\n` +
      "is closed when the plan has no changes.\n\n";
    const shown = (text = PAGE) => `${introduction(text)}${text}`;
    const issue = (plan: { result?: string; verdict?: string; page?: string; attempt?: number } = {}) => {
      const { result = "success", verdict = "changes", page = PAGE, attempt } = plan;
      github.artifacts.set(100, new Map([["drift-page", { "page.md": page }]]));
      github.writes.length = 0;
      return run("drift.yml", "issue", {
        run: 100,
        event: { name: "schedule", payload: {} },
        needs: { plan: { result, outputs: { attempt: "1", commit: HEAD, verdict } } },
        ...(attempt !== undefined && { attempt }),
      });
    };
    /** The issue that an earlier run opened. */
    const opened = (change: Partial<Issue> = {}) =>
      github.open({ title: TITLE, body: shown(), user: WORKFLOW_USER, ...change });

    test("is opened if there is none", async () => {
      expect(await issue()).toMatchObject({
        result: "success",
        log: "https://github.com/octo-org/cluster/issues/1\n",
      });
      expect(github.issues).toMatchObject([{ title: TITLE, body: shown(), state: "open", user: WORKFLOW_USER }]);
      expect(github.writes).toEqual(["POST issues"]);
    });

    test("is not written from an earlier plan, if somebody starts only this job again", async () => {
      opened();
      expect(await issue({ verdict: "empty", attempt: 2 })).toMatchObject({ result: "skipped" });
      expect(github.issues).toMatchObject([{ state: "open" }]);
    });

    test("is not opened without drift", async () => {
      expect(await issue({ verdict: "empty" })).toMatchObject({ result: "success", log: "" });
      expect(github.writes).toEqual([]);
    });

    test.each([
      ["as it was written", (text: string) => text],
      [
        "with the line ends of GitHub's editor, and a note",
        (text: string) => `${text}\nA note.`.replaceAll("\n", "\r\n"),
      ],
    ])("stays as it is if it already shows the drift (%s)", async (_, edit) => {
      opened({ body: edit(shown()) });
      expect(await issue()).toMatchObject({ result: "success", log: "::notice::Issue 1 already shows this plan.\n" });
      expect(github.writes).toEqual([]);
    });

    test("shows another drift in place, with a comment that notifies", async () => {
      opened();
      expect((await issue({ page: "other\n" })).result).toBe("success");
      expect(github.issues).toMatchObject([{ number: 1, body: shown("other\n"), state: "open" }]);
      expect(github.issueComments.get(1)).toEqual([`The plan of ${HEAD} has other changes: [the run](${URL}).`]);
      expect(github.writes).toEqual(["PATCH issues/1", "POST issues/1/comments"]);
    });

    test("is closed when the drift is gone, and the next drift opens another", async () => {
      opened();
      expect((await issue({ verdict: "empty" })).result).toBe("success");
      expect(github.issues).toMatchObject([{ state: "closed", state_reason: "completed", body: shown() }]);
      expect(github.issueComments.get(1)).toEqual([`The plan of ${HEAD} has no changes: [the run](${URL}).`]);
      for (const ignoresFilters of [true, false]) {
        github.ignoresFilters = ignoresFilters;
        await issue({ verdict: "empty" });
        expect(github.writes).toEqual([]);
      }
      await issue();
      expect(github.writes).toEqual(["POST issues"]);
      expect(github.issues.map(({ state }) => state)).toEqual(["closed", "open"]);
    });

    test.each(["failure", "cancelled", "skipped"])("stays as it is if the plan ends with %s", async (result) => {
      opened();
      expect((await issue({ result, verdict: "" })).result).toBe("skipped");
      expect(github.writes).toEqual([]);
    });

    test("is not closed without a verdict", async () => {
      opened();
      await issue({ verdict: "" });
      expect(github.issues).toMatchObject([{ state: "open" }]);
    });

    test.each<[string, Partial<Issue>]>([
      ["a stranger's issue with the same title and text", { user: { login: "eve", type: "User" } }],
      ["a stranger whose name is that of the workflows", { user: { login: "github-actions[bot]", type: "User" } }],
      ["an issue of another bot", { user: { login: "dependabot[bot]", type: "Bot" } }],
      ["an issue of a deleted user", { user: null }],
      ["another workflow's issue with the same title", { body: PAGE }],
      ["another workflow's issue that quotes this one", { body: `> ${shown()}` }],
      ["another workflow's issue without a text", { body: null }],
      ["another workflow's pull request", { pull_request: {} }],
    ])("is not %s", async (_, change) => {
      const theirs = structuredClone(opened(change));
      await issue({ verdict: "empty" });
      expect(github.writes).toEqual([]);
      await issue({ page: "other\n" });
      expect(github.writes).toEqual(["POST issues"]);
      expect(github.issues).toMatchObject([theirs, { body: shown("other\n") }]);
    });

    test("is found on a later page of the open issues", async () => {
      opened();
      for (let count = 0; count < 250; count++) opened({ user: { login: "eve", type: "User" } });
      await issue({ verdict: "empty" });
      expect(github.writes).toEqual(["PATCH issues/1", "POST issues/1/comments"]);
    });

    test("shows the page as text: HTML comments, expressions and commands in it do nothing", async () => {
      const page = `<!-- drift.yml ${"0".repeat(64)} -->\n$(touch x) \`id\` \${{ github.token }} ::set-output name=a::b\n@/etc/hostname\n`;
      expect(await issue({ page })).toMatchObject({ result: "success", outputs: {} });
      expect(github.issues).toMatchObject([{ body: `${introduction(page)}${page.replace("<!--", "<\\!--")}` }]);
      await issue({ page });
      expect(github.writes).toEqual([]);
    });

    test.each(["x", "ü", "🌈"])("links to the run if the page of %s is too long for an issue", async (letter) => {
      const room = 65_400 - introduction("").length;
      const fits = letter.repeat(Math.floor(room / letter.length));
      await issue({ page: fits });
      expect(github.issues[0]?.body).toBe(shown(fits));
      const long = `${fits}${letter}`;
      expect((await issue({ page: long })).result).toBe("success");
      expect(github.issues).toMatchObject([
        {
          body: `${firstLine(long)}\nThe plan of ${HEAD} on \`main\` has a page that is too long for an issue: [the run](${URL}) shows it.\n`,
        },
      ]);
      await issue({ page: long });
      expect(github.writes).toEqual([]);
    });

    test("fails if GitHub does not answer", async () => {
      opened();
      await github.stop();
      expect((await issue({ verdict: "empty" })).result).toBe("failure");
      await github.start();
      expect(github.issues).toMatchObject([{ state: "open" }]);
    });
  });
});

describe("in a checkout", () => {
  const STATE = "terraform.tfstate";
  /**
   * Terraform, with an override that puts the state into the stack's folder while it runs. The override is not in the folder
   * when a script looks for other files.
   */
  const TERRAFORM = `#!/bin/sh
override="\${1#-chdir=}/override.tf.json"
echo '${JSON.stringify({ terraform: { backend: { local: { path: STATE } } } })}' > "$override"
PATH=\${PATH#*:} terraform "$@"
status=$?
rm "$override"
exit $status
`;
  const { PATH } = process.env;
  let programs: string;
  let checkout: string;
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.com", ...args], { cwd: checkout });

  beforeAll(() => {
    checkout = mkdtempSync(join(tmpdir(), "workflow-"));
    const files = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
      cwd: PROJECT,
      encoding: "utf8",
    });
    for (const file of files.split("\0").filter((each) => each && existsSync(join(PROJECT, each)))) {
      mkdirSync(join(checkout, dirname(file)), { recursive: true });
      cpSync(join(PROJECT, file), join(checkout, file));
    }
    git("init", "-q", "--initial-branch=main");
    git("add", "-A");
    git("commit", "-q", "-m", "base");
    symlinkSync(join(PROJECT, "node_modules"), join(checkout, "node_modules"));
    programs = mkdtempSync(join(tmpdir(), "terraform-"));
    writeFileSync(join(programs, "terraform"), TERRAFORM, { mode: 0o755 });
    process.env.PATH = `${programs}:${PATH}`;
  });
  afterAll(() => {
    process.env.PATH = PATH;
    for (const folder of [checkout, programs]) rmSync(folder, { recursive: true });
  });

  test("review.yml uploads the page of the changes since the base, with the diagram", async () => {
    git("checkout", "-q", "-b", "theirs");
    const settings = readFileSync(join(checkout, "cdktf.json"), "utf8");
    writeFileSync(
      join(checkout, "cdktf.json"),
      settings.replace('"cluster": {}', '"cluster": { "workers": { "count": 4 } }'),
    );
    // Committed files with the names of those that the workflow writes.
    mkdirSync(join(checkout, "page"));
    for (const name of ["page.md", "page/page.md", "page/more.md"]) writeFileSync(join(checkout, name), "theirs\n");
    git("add", "-A");
    git("commit", "-q", "-m", "theirs");
    git("checkout", "-q", "main");
    git("merge", "-q", "--no-ff", "--no-edit", "theirs");
    const pull_request = open();
    const { result, log, summary } = await run("review.yml", "page", {
      run: 100,
      event: { name: "pull_request", payload: { action: "synchronize", pull_request } },
      checkout,
    });
    expect({ result, log }).toEqual({ result: "success", log: "" });
    const files = github.artifacts.get(100)?.get("review-page-7") as Record<string, string>;
    expect(Object.keys(files).sort()).toEqual(["page.md", "pull-request"]);
    expect(files["pull-request"]).toBe(`7 main ${HEAD}\n`);
    expect(files["page.md"]).toMatch(/^## Changes in the cluster\n\n\*\*No findings\.\*\* 6 added\./);
    expect(files["page.md"]).toMatch(/\n```mermaid\nflowchart LR\n.*worker-3.*\n```\n/s);
    expect(summary).toBe(files["page.md"]);
    git("reset", "-q", "--hard", "HEAD^1");
  });

  test("the summary of a job has a page of at most 1 MiB, and a line instead of a longer one", () => {
    const LIMIT = 1_048_576;
    const folder = mkdtempSync(join(tmpdir(), "summary-"));
    const [page, summary] = [join(folder, "page.md"), join(folder, "summary.md")];
    const summaryOf = (text: string) => {
      rmSync(summary, { force: true });
      writeFileSync(page, text);
      execFileSync(join(PROJECT, "tools/write-summary.sh"), [page], {
        env: { ...process.env, GITHUB_STEP_SUMMARY: summary },
      });
      return readFileSync(summary, "utf8");
    };
    // A character of three bytes: the limit is in bytes.
    const [fits, tooLong] = ["\u20ac".repeat(LIMIT / 3), "\u20ac".repeat(LIMIT / 3 + 1)];
    expect(summaryOf(fits)).toBe(fits);
    expect(summaryOf(tooLong)).toBe(
      `The page has ${Buffer.byteLength(tooLong)} bytes, and GitHub takes at most ${LIMIT}. It is in the artifact of this run.\n`,
    );
    rmSync(folder, { recursive: true });
  });

  test("review.yml does not run for an edit of the title, and runs for another base", async () => {
    const edit = (changes: object) =>
      run("review.yml", "page", {
        run: 100,
        event: { name: "pull_request", payload: { action: "edited", changes, pull_request: open() } },
        without: ["Write the page"],
        prepare: (temporary) => mkdirSync(join(temporary, "page")),
      });
    expect((await edit({ title: { from: "a" } })).result).toBe("skipped");
    expect((await edit({ base: { ref: { from: "next" } } })).result).toBe("success");
  });

  describeSuite("the workflows' scripts with Terraform", () => {
    const stacks = () => join(checkout, "cdktf.out/stacks");

    beforeEach(() => {
      for (const name of ["cdktf.out", "page", "reviewed"])
        rmSync(join(checkout, name), { recursive: true, force: true });
    });

    /** Writes a stack whose state is in S3. */
    function synthesize(input: string, { name = "one", backend = { s3: { bucket: "states" } } as object } = {}): void {
      const folder = join(stacks(), name);
      mkdirSync(folder, { recursive: true });
      const stack = { terraform: { backend }, resource: { terraform_data: { a: { input } } } };
      writeFileSync(join(folder, "cdk.tf.json"), JSON.stringify(stack, null, 2));
    }
    const plan = (pull_request: PullRequest) =>
      run("plan.yml", "plan", {
        run: 100,
        event: { name: "pull_request", payload: { action: "synchronize", pull_request } },
        checkout,
      });
    const apply = () =>
      run("apply.yml", "apply", {
        run: 900,
        event: { name: "push", payload: {} },
        sha: MERGED,
        checkout,
        // Folders of the same names, left by another job.
        prepare: (temporary) => {
          for (const name of ["reviewed", "page"].filter((each) => existsSync(join(checkout, each)))) {
            cpSync(join(checkout, name), join(temporary, name), { recursive: true });
          }
        },
      });
    const isApplied = () => existsSync(join(stacks(), "one", STATE));

    /** Plans and approves, then merges. */
    async function planAndMerge(pullRequest = open()): Promise<JobResult> {
      const planned = await plan(pullRequest);
      expect(planned).toMatchObject({ result: "success" });
      ran("plan.yml");
      github.approvals.set(100, [{ state: "approved", environments: [{ name: "plan" }] }]);
      merge(pullRequest);
      return planned;
    }

    test("applies the plan that was on the pull request and was approved", async () => {
      synthesize("a");
      const planned = await planAndMerge();
      const files = github.artifacts.get(100)?.get("plan-page-7") as Record<string, string>;
      expect(Object.keys(files).sort()).toEqual(["cdk.tf.json", "changes.json", "page.md", "pull-request"]);
      expect(planned.summary).toBe(files["page.md"]);
      const { result, log, summary } = await apply();
      expect({ result, log }).toEqual({ result: "success", log: expect.stringContaining("Apply complete!") });
      expect(summary).toBe(files["page.md"]);
      expect(isApplied()).toBe(true);
    });

    test.each<[string, string, () => void]>([
      ["differs from the plan of the pull request", "differs from the reviewed one", () => synthesize("b")],
      [
        "was reviewed for another base",
        "differs from the reviewed one",
        () => {
          const files = github.artifacts.get(100)?.get("plan-page-7") as Record<string, string>;
          files["pull-request"] = `7 next ${HEAD}\n`;
        },
      ],
      ["nobody approved", "was not on a pull request", () => github.approvals.clear()],
    ])("applies nothing if the plan %s", async (_, reason, change) => {
      synthesize("a");
      await planAndMerge();
      change();
      const { result, log } = await apply();
      expect({ result, log }).toEqual({
        result: "failure",
        log: expect.stringContaining(`not applied: this plan ${reason}`),
      });
      expect(isApplied()).toBe(false);
    });

    test("a committed folder does not pass for a reviewed plan or a page", async () => {
      synthesize("a");
      await planAndMerge();
      const files = github.artifacts.get(100)?.get("plan-page-7") as Record<string, string>;
      for (const folder of ["reviewed", "page"]) {
        mkdirSync(join(checkout, folder), { recursive: true });
        for (const [name, text] of Object.entries(files)) {
          // Without the line about the pull request, as apply.yml writes none if it finds no pull request.
          if (name !== "pull-request") writeFileSync(join(checkout, folder, name), text);
        }
      }
      github.commits.clear();
      const { result, log } = await apply();
      expect({ result, log }).toEqual({
        result: "failure",
        log: expect.stringContaining("not applied: this plan was not on a pull request"),
      });
      expect(isApplied()).toBe(false);
    });

    describe("drift.yml", () => {
      /** Plans main, then writes the issue. */
      async function drift(
        options: Partial<JobRun> = {},
      ): Promise<JobResult & { readonly issue: JobResult["result"] }> {
        const event = { name: "schedule", payload: {} };
        github.writes.length = 0;
        const planned = await run("drift.yml", "plan", { run: 100, event, checkout, ...options });
        const needs = { plan: { result: planned.result, outputs: planned.jobOutputs } };
        return { ...planned, issue: (await run("drift.yml", "issue", { run: 100, event, needs })).result };
      }
      const commit = () => git("rev-parse", "HEAD").toString().trim();
      const applySettings = async () => {
        await planAndMerge();
        expect((await apply()).result).toBe("success");
      };

      test("opens an issue for the difference between AWS and main, updates it, and closes it", async () => {
        synthesize("a");
        await applySettings();
        expect(await drift()).toMatchObject({
          result: "success",
          issue: "success",
          jobOutputs: { attempt: "1", commit: commit(), verdict: "empty" },
          summary: expect.stringContaining("**Nothing changes.**"),
        });
        expect(github.issues).toEqual([]);

        synthesize("b");
        const first = await drift();
        expect(first).toMatchObject({ issue: "success", jobOutputs: { commit: commit(), verdict: "changes" } });
        expect(github.writes).toEqual(["POST issues"]);
        expect(github.issues[0]?.body?.endsWith(`.\n\n${first.summary}`)).toBe(true);
        expect(first.summary).toContain("`terraform_data.a`: changed in place");
        const files = github.artifacts.get(100)?.get("drift-page") as Record<string, string>;
        expect(Object.keys(files).sort()).toEqual(["cdk.tf.json", "changes.json", "page.md"]);

        await drift();
        expect(github.writes).toEqual([]);
        synthesize("c");
        await drift();
        expect(github.writes).toEqual(["PATCH issues/1", "POST issues/1/comments"]);
        synthesize("a");
        await drift();
        expect(github.writes).toEqual(["PATCH issues/1", "POST issues/1/comments"]);
        expect(github.issues).toMatchObject([{ state: "closed" }]);
      }, 180_000);

      test("fails if the plan fails, and leaves the issue", async () => {
        synthesize("a");
        await drift();
        const file = join(stacks(), "one/cdk.tf.json");
        const stack = JSON.parse(readFileSync(file, "utf8"));
        stack.resource.terraform_data.a.lifecycle = {
          precondition: { condition: `\${terraform.workspace == ""}`, error_message: "The plan fails." },
        };
        writeFileSync(file, JSON.stringify(stack));
        expect(await drift()).toMatchObject({
          result: "failure",
          issue: "skipped",
          jobOutputs: { verdict: "" },
          // The error of the plan, not of the initialization.
          log: expect.stringMatching(/Terraform has been successfully initialized.*The plan fails\./s),
        });
        expect(github.writes).toEqual([]);
      });

      test.each<[string, Partial<JobRun>]>([
        ["without a role", { variables: {} }],
        ["on another branch", { ref: "refs/heads/topic" }],
      ])("does nothing %s", async (_, options) => {
        synthesize("a");
        expect(await drift(options)).toMatchObject({ result: "skipped", issue: "skipped", ran: [] });
        expect(github.writes).toEqual([]);
      });
    });

    test.each<[string, string, () => void]>([
      [
        "two stacks",
        "a workflow plans exactly one stack, got: cdktf.out/stacks/one/ cdktf.out/stacks/two/",
        () => synthesize("a", { name: "two" }),
      ],
      [
        "a committed folder beside the stack",
        "a workflow plans exactly one stack, got: cdktf.out/stacks/a b/ cdktf.out/stacks/one/",
        () => mkdirSync(join(stacks(), "a b")),
      ],
      [
        "no stack",
        "a workflow plans exactly one stack, got: cdktf.out/stacks/*/",
        () => rmSync(stacks(), { recursive: true }),
      ],
      [
        "a folder without a stack",
        "a workflow plans exactly one stack, got: cdktf.out/stacks/one/",
        () => rmSync(join(stacks(), "one/cdk.tf.json")),
      ],
      [
        "a local state",
        "'backend.type' must be s3 if a workflow plans, got: local",
        () => synthesize("a", { backend: { local: {} } }),
      ],
      [
        "no backend",
        "'backend.type' must be s3 if a workflow plans, got: local",
        () => synthesize("a", { backend: {} }),
      ],
      [
        "a local state, and s3 in a value",
        "'backend.type' must be s3 if a workflow plans, got: local",
        () => synthesize('"s3": {', { backend: { local: { path: '"s3": {' } } }),
      ],
    ])("refuses %s", async (_, message, change) => {
      synthesize("a");
      change();
      const event = { name: "schedule", payload: {} };
      for (const ended of [
        await plan(open()),
        await apply(),
        await run("drift.yml", "plan", { run: 901, event, checkout }),
      ]) {
        expect({ result: ended.result, ran: ended.ran, log: ended.log }).toEqual({
          result: "failure",
          ran: ["Find the stack"],
          log: `${message}\n`,
        });
      }
      expect(readdirSync(checkout)).not.toContain("page");
    });

    test("the scripts of the tools refuse too many arguments", () => {
      const usage = (script: string, ...args: string[]) => {
        try {
          return execFileSync(join(checkout, "tools", script), args, {
            cwd: checkout,
            encoding: "utf8",
            stdio: "pipe",
          });
        } catch (error) {
          return (error as { stderr: string }).stderr;
        }
      };
      expect(usage("stack-to-plan.sh", "one")).toBe("usage: tools/stack-to-plan.sh\n");
      expect(usage("write-summary.sh", "one", "two")).toBe("usage: tools/write-summary.sh PAGE\n");
      expect(usage("plan-page.sh", "one", "two", "page")).toBe("usage: tools/plan-page.sh STACK_FOLDER PAGE_FOLDER\n");
      expect(usage("apply-reviewed.sh", "one", "two", "page", "reviewed")).toBe(
        "usage: tools/apply-reviewed.sh STACK_FOLDER PAGE_FOLDER REVIEWED_FOLDER\n",
      );
    });

    test("the tests above run each named script of the workflows, and the others are commands of one line", () => {
      const files = readdirSync(join(PROJECT, ".github/workflows"));
      const steps = files.flatMap((file) =>
        Object.values(load(file).jobs).flatMap((job) => job.steps.map((step) => ({ file, ...step }))),
      );
      const scripts = steps.filter(({ run }) => run !== undefined);
      expect(
        scripts
          .filter(({ name }) => name !== undefined)
          .map(({ file, name }) => `${file}: ${name}`)
          .sort(),
      ).toEqual(expect.arrayContaining([...scriptsThatRan].sort()));
      for (const { file, name } of scripts)
        if (name !== undefined) expect(scriptsThatRan).toContain(`${file}: ${name}`);
      for (const { name, run = "" } of scripts) if (name === undefined) expect(run).not.toContain("\n");
    });
  });
});
