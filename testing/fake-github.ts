import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { isObject } from "../review/arguments";

/** The repository of the tests. */
export const REPOSITORY = "octo-org/cluster";

/** A pull request, with the fields of https://docs.github.com/rest/pulls/pulls#get-a-pull-request that the workflows read. */
export interface PullRequest {
  number: number;
  state: "open" | "closed";
  /** The moment of the merge; null before. */
  merged_at: string | null;
  /** Before the merge, a test merge. Afterwards, the commit that the base branch was updated to. */
  merge_commit_sha: string | null;
  /** `repo` is null if the fork was deleted. */
  head: { ref: string; sha: string; repo: { full_name: string } | null };
  base: { ref: string; repo: { full_name: string } };
}

/** A run, with the fields of https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-workflow. */
export interface Run {
  id: number;
  name: string;
  path: string;
  event: string;
  status: "completed" | "in_progress" | "queued" | "waiting";
  conclusion: string | null;
  head_sha: string;
  head_branch: string;
  head_repository: { full_name: string; owner: { login: string } } | null;
  html_url: string;
  run_attempt: number;
  run_started_at: string;
}

/** An entry of https://docs.github.com/rest/actions/workflow-runs#get-the-review-history-for-a-workflow-run. */
export interface Approval {
  state: "approved" | "rejected" | "pending";
  environments: { name: string }[];
}

/** An issue or pull request, with the fields of https://docs.github.com/rest/issues/issues#list-repository-issues that the workflows read. */
export interface Issue {
  number: number;
  title: string;
  /** Null if the author wrote none. */
  body: string | null;
  state: "open" | "closed";
  state_reason: "completed" | "not_planned" | "reopened" | null;
  user: { login: string; type: "Bot" | "User" } | null;
  html_url: string;
  /** Only a pull request has it. */
  pull_request?: object;
}

/** The author of all that a workflow writes with its own token. */
export const WORKFLOW_USER = { login: "github-actions[bot]", type: "Bot" } as const;

/** The largest number of characters in an issue or a comment. */
export const BODY_LIMIT = 65_536;

/** An artifact of a run: the text of each file, or the target of a link. */
export type Files = Record<string, string | { readonly link: string }>;

const API = "http://api.github.localhost";

/** The state of a GitHub, which answers requests as GitHub documents them: https://docs.github.com/rest. */
export class FakeGitHub {
  /** The repository's pull requests. */
  readonly pullRequests: PullRequest[] = [];
  /** The commits of each pull request: its own, or after the merge those that are new on its base. */
  readonly commits = new Map<number, readonly string[]>();
  /** The runs of all workflows. */
  readonly runs: Run[] = [];
  /** The reviews of each run. */
  readonly approvals = new Map<number, Approval[]>();
  /** The artifacts of each run, by name. */
  readonly artifacts = new Map<number, Map<string, Files | "expired">>();
  /** The comments: by the number of the pull request, if the action gets one, and the header. */
  readonly comments = new Map<string, string>();
  /** The repository's issues and pull requests, as a list of issues has them. */
  readonly issues: Issue[] = [];
  /** The comments of each issue. */
  readonly issueComments = new Map<number, string[]>();
  /** The requests that changed something. */
  readonly writes: string[] = [];
  /** Whether lists ignore the filters of the query, as GitHub does with parameters that it does not know. */
  ignoresFilters = false;

  private port = 0;
  private readonly server: Server = createServer(async (request, response) => {
    const url = new URL(request.url ?? "", API);
    const path = url.pathname.replace(`/repos/${REPOSITORY}/`, "");
    const method = request.method ?? "";
    const answer =
      method === "GET"
        ? this.answer(path, url.searchParams)
        : this.write(method, path, JSON.parse(Buffer.concat(await request.toArray()).toString()));
    const isRefused = isObject(answer) && "errors" in answer;
    const next =
      method === "GET" && path === "issues" ? nextPage(url, this.listed(url.searchParams).length) : undefined;
    response.writeHead(answer === undefined ? 404 : isRefused ? 422 : 200, {
      "content-type": "application/json",
      ...(next === undefined ? {} : { link: `<${next}>; rel="next"` }),
    });
    response.end(JSON.stringify(answer ?? { message: "Not Found", documentation_url: "https://docs.github.com/rest" }));
  });

  /** Starts answering, on the same port as before a stop. */
  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.server.listen(this.port, "127.0.0.1", resolve));
    this.port = (this.server.address() as AddressInfo).port;
  }

  /** Stops answering. */
  async stop(): Promise<void> {
    await new Promise((resolve) => this.server.close(resolve));
  }

  /**
   * Environment variables with which `gh` asks this GitHub. `gh` speaks HTTP, not HTTPS, to the host github.localhost, and
   * reaches it through the proxy.
   */
  get environment(): Record<string, string> {
    const proxy = `http://127.0.0.1:${this.port}`;
    return { GH_HOST: "github.localhost", HTTP_PROXY: proxy, NO_PROXY: "", GH_NO_UPDATE_NOTIFIER: "1" };
  }

  private answer(path: string, query: URLSearchParams): unknown {
    const [, sha] = /^commits\/(\w+)\/pulls$/.exec(path) ?? [];
    if (sha) return this.pullRequests.filter((each) => this.commits.get(each.number)?.includes(sha));
    const [, number] = /^pulls\/(\d+)$/.exec(path) ?? [];
    if (number) return this.pullRequests.find((each) => each.number === Number(number));
    if (path === "pulls") return this.pullRequests.filter((each) => this.ignoresFilters || isListed(each, query));
    if (path === "issues") {
      const { from, to } = pageOf(query);
      return this.listed(query).slice(from, to);
    }
    const [, file] = /^actions\/workflows\/([\w.-]+)\/runs$/.exec(path) ?? [];
    if (file) {
      const runs = this.runs.filter(
        (each) => this.ignoresFilters || (each.path === `.github/workflows/${file}` && isOf(each, query)),
      );
      return {
        total_count: runs.length,
        workflow_runs: runs.map((each) => ({ ...each, pull_requests: this.openPullRequests(each) })),
      };
    }
    const [, run, list] = /^actions\/runs\/(\d+)\/(approvals|artifacts)$/.exec(path) ?? [];
    if (list === "approvals") return this.approvals.get(Number(run)) ?? [];
    if (list === "artifacts") {
      const artifacts = [...(this.artifacts.get(Number(run)) ?? [])]
        .filter(([name]) => this.ignoresFilters || !query.has("name") || query.get("name") === name)
        .map(([name, files]) => ({ name, expired: files === "expired" }));
      return { total_count: artifacts.length, artifacts };
    }
    return undefined;
  }

  /** Writes an issue or a comment: https://docs.github.com/rest/issues. The author is that of a workflow's own token. */
  private write(method: string, path: string, fields: Partial<Issue>): unknown {
    if ((fields.body?.length ?? 0) > BODY_LIMIT) {
      const message = `body is too long (maximum is ${BODY_LIMIT} characters)`;
      return { message: "Validation Failed", errors: [{ resource: "Issue", code: "custom", field: "body", message }] };
    }
    this.writes.push(`${method} ${path}`);
    const [, number, comments] = /^issues(?:\/(\d+)(\/comments)?)?$/.exec(path) ?? [];
    const issue = this.issues.find((each) => each.number === Number(number));
    if (method === "POST" && path === "issues") return this.open({ user: WORKFLOW_USER, ...fields });
    if (method === "PATCH" && issue !== undefined && comments === undefined) return Object.assign(issue, fields);
    if (method === "POST" && issue !== undefined && comments !== undefined) {
      this.issueComments.set(issue.number, [...(this.issueComments.get(issue.number) ?? []), fields.body as string]);
      return fields;
    }
    return undefined;
  }

  /** Opens an issue. */
  open(fields: Partial<Issue>): Issue {
    const number = this.issues.length + 1;
    const issue: Issue = {
      number,
      title: "",
      body: null,
      state: "open",
      state_reason: null,
      user: null,
      html_url: `https://github.com/${REPOSITORY}/issues/${number}`,
      ...fields,
    };
    this.issues.push(issue);
    return issue;
  }

  /** All pages of a list of issues, the latest first. */
  private listed(query: URLSearchParams): Issue[] {
    const isListed = ({ state }: Issue) => this.ignoresFilters || state === (query.get("state") ?? "open");
    return this.issues.filter(isListed).reverse();
  }

  /**
   * The `pull_requests` of a run: "Pull requests that are open with a head_sha or head_branch that matches the workflow run.
   * The returned pull requests do not necessarily indicate pull requests that triggered the run." None of forks:
   * https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows#pull_request
   */
  private openPullRequests({ head_branch, head_sha, head_repository }: Run): PullRequest[] {
    if (head_repository?.full_name !== REPOSITORY) return [];
    return this.pullRequests.filter(
      ({ state, head }) => state === "open" && (head.ref === head_branch || head.sha === head_sha),
    );
  }
}

/** Whether https://docs.github.com/rest/pulls/pulls#list-pull-requests lists a pull request. */
function isListed({ state, head }: PullRequest, query: URLSearchParams): boolean {
  const [owner] = head.repo?.full_name.split("/") ?? [];
  return query.get("state") === state && query.get("head") === `${owner}:${head.ref}`;
}

function isOf({ event, status, conclusion, head_sha }: Run, query: URLSearchParams): boolean {
  // `status` can be the status or the conclusion.
  return (
    query.get("event") === event &&
    query.get("head_sha") === head_sha &&
    [status, conclusion].includes(query.get("status") as Run["status"])
  );
}

/** The part of a list that a page has: https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api. */
function pageOf(query: URLSearchParams): { from: number; to: number } {
  const [page, size] = [Number(query.get("page") ?? 1), Number(query.get("per_page") ?? 30)];
  return { from: (page - 1) * size, to: page * size };
}

/** The address of the next page; undefined after the last one. */
function nextPage(url: URL, length: number): URL | undefined {
  if (pageOf(url.searchParams).to >= length) return undefined;
  const next = new URL(url);
  next.searchParams.set("page", String(Number(url.searchParams.get("page") ?? 1) + 1));
  return next;
}
