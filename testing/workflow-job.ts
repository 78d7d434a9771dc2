import { spawn } from "node:child_process";
import {
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
import { join } from "node:path";
import { BODY_LIMIT, type FakeGitHub, REPOSITORY } from "./fake-github";

/** A step: https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idsteps. */
export interface Step {
  readonly id?: string;
  readonly name?: string;
  readonly if?: string;
  readonly run?: string;
  readonly shell?: string;
  readonly uses?: string;
  readonly env?: Record<string, string>;
  readonly with?: Record<string, unknown>;
}
/** A job, with the keys that the tests read. */
export interface Job {
  readonly if?: string;
  readonly environment?: string;
  readonly permissions?: Record<string, string>;
  readonly outputs?: Record<string, string>;
  readonly steps: readonly Step[];
}
/** A workflow, with the keys that the tests read. */
export interface Workflow {
  readonly on: Record<string, unknown>;
  readonly permissions?: Record<string, string>;
  readonly concurrency?: Record<string, unknown>;
  readonly defaults?: { readonly run?: { readonly shell?: string } };
  readonly jobs: Record<string, Job>;
}

/** A job to run. */
export interface JobRun {
  readonly github: FakeGitHub;
  readonly workflow: Workflow;
  readonly job: Job;
  /** The name and payload of the event that started the workflow. */
  readonly event: { readonly name: string; readonly payload: object };
  /** The commit of the event. @default - 40 zeros */
  readonly sha?: string;
  /** The branch of the event. @default - main */
  readonly ref?: string;
  /** The repository's variables. @default - the roles of all workflows */
  readonly variables?: Record<string, string>;
  /** The number of the workflow's run. */
  readonly run: number;
  /** How many times the run was started. @default - once */
  readonly attempt?: number;
  /** The results of the jobs that this one needs. @default - none */
  readonly needs?: Record<string, { readonly result: string; readonly outputs?: Record<string, string> }>;
  /** The checkout. @default - an empty folder */
  readonly checkout?: string;
  /** Names of steps that do not run. @default - none */
  readonly without?: readonly string[];
  /** Prepares the runner's temporary folder. */
  readonly prepare?: (temporary: string) => void;
  /** Reads the runner's temporary folder at the end. */
  readonly inspect?: (temporary: string) => void;
}

/** The end of a job. */
export interface JobResult {
  readonly result: "success" | "failure" | "skipped";
  /** All that the scripts printed. */
  readonly log: string;
  /** The outputs of each step. */
  readonly outputs: Record<string, Record<string, string>>;
  /** The outputs of the job. */
  readonly jobOutputs: Record<string, string>;
  /** The names of the scripts that ran. */
  readonly ran: readonly string[];
  /** The job's summary. */
  readonly summary: string;
}

const ROLES = Object.fromEntries(
  ["apply", "drift", "plan"].map((name) => [
    `AWS_${name.toUpperCase()}_ROLE`,
    `arn:aws:iam::111122223333:role/${name}`,
  ]),
);

/**
 * Runs a job's named scripts, with the shell that GitHub documents:
 * https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
 * Stand-ins download and upload artifacts and write comments. No other action runs, and no script without a name.
 */
export async function runJob(run: JobRun): Promise<JobResult> {
  const { github, workflow, job, event, sha = "0".repeat(40), needs = {}, without = [] } = run;
  const { ref = "refs/heads/main", variables = ROLES } = run;
  const folder = mkdtempSync(join(tmpdir(), "job-"));
  const temporary = join(folder, "temp");
  const checkout = run.checkout ?? join(folder, "checkout");
  for (const each of [temporary, join(folder, "checkout")]) mkdirSync(each);
  run.prepare?.(temporary);
  const summary = join(folder, "summary.md");
  const outputs: Record<string, Record<string, string>> = {};
  const contexts = {
    github: {
      event: event.payload,
      event_name: event.name,
      ref,
      repository: REPOSITORY,
      run_attempt: run.attempt ?? 1,
      run_id: run.run,
      server_url: "https://github.com",
      token: "token",
    },
    needs,
    runner: { temp: temporary },
    vars: variables,
    get steps() {
      return Object.fromEntries(Object.entries(outputs).map(([id, each]) => [id, { outputs: each }]));
    },
  };
  const fill = (text: unknown) =>
    String(text).replace(/\$\{\{(.*?)\}\}/g, (_, expression) => String(evaluate(expression, contexts)));
  const inputs = (step: Step) =>
    Object.fromEntries(Object.entries(step.with ?? {}).map(([name, value]) => [name, fill(value)]));

  const ran: string[] = [];
  let log = "";
  let result: JobResult["result"] = "success";
  try {
    if (job.if !== undefined && !evaluate(job.if, contexts))
      return { result: "skipped", log, outputs, jobOutputs: {}, ran, summary: "" };
    for (const step of job.steps) {
      if (step.name !== undefined && without.includes(step.name)) continue;
      if (step.if !== undefined && !evaluate(step.if, contexts)) continue;
      const action = ACTIONS[step.uses?.split("@")[0] ?? ""];
      if (action !== undefined) {
        try {
          action({ github, run: run.run, ...inputs(step) });
        } catch (error) {
          log += `${(error as Error).message}\n`;
          result = "failure";
          break;
        }
      }
      if (step.name === undefined || step.run === undefined) continue;
      ran.push(step.name);
      const output = join(folder, "output");
      const script = join(folder, "script.sh");
      writeFileSync(output, "");
      writeFileSync(script, step.run);
      const shell = step.shell ?? workflow.defaults?.run?.shell;
      const options = shell === "bash" ? ["--noprofile", "--norc", "-eo", "pipefail"] : ["-e"];
      const ended = await runScript([...options, script], checkout, {
        ...Object.fromEntries(["PATH", "HOME", "LANG"].map((name) => [name, process.env[name]])),
        ...github.environment,
        GH_CONFIG_DIR: join(folder, "gh"),
        TF_CLI_CONFIG_FILE: "/dev/null",
        CHECKPOINT_DISABLE: "1",
        GITHUB_REPOSITORY: REPOSITORY,
        GITHUB_SHA: sha,
        GITHUB_OUTPUT: output,
        GITHUB_STEP_SUMMARY: summary,
        RUNNER_TEMP: temporary,
        ...Object.fromEntries(Object.entries(step.env ?? {}).map(([name, value]) => [name, fill(value)])),
      });
      log += ended.log;
      if (step.id !== undefined) outputs[step.id] = readOutputs(output);
      if (ended.status !== 0) {
        result = "failure";
        break;
      }
    }
    run.inspect?.(temporary);
    const jobOutputs = Object.fromEntries(
      Object.entries(job.outputs ?? {}).map(([name, value]) => [name, fill(value)]),
    );
    return { result, log, outputs, jobOutputs, ran, summary: existsSync(summary) ? readFileSync(summary, "utf8") : "" };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Inputs {
  readonly github: FakeGitHub;
  readonly run: number;
  readonly [input: string]: unknown;
}

const ACTIONS: Record<string, (inputs: Inputs) => void> = {
  "actions/download-artifact": ({ github, run, ...inputs }) => {
    const files = github.artifacts.get(Number(inputs["run-id"] ?? run))?.get(String(inputs.name));
    if (files === undefined || files === "expired") throw new Error(`no artifact: ${inputs.name}`);
    mkdirSync(String(inputs.path), { recursive: true });
    for (const [name, file] of Object.entries(files)) {
      const path = join(String(inputs.path), name);
      if (typeof file === "string") writeFileSync(path, file);
      else symlinkSync(file.link, path);
    }
  },
  "actions/upload-artifact": ({ github, run, name, path }) => {
    const files = readdirSync(String(path)).map((each) => [each, readFileSync(join(String(path), each), "utf8")]);
    const artifacts = github.artifacts.get(run) ?? new Map();
    github.artifacts.set(run, artifacts.set(String(name), Object.fromEntries(files)));
  },
  "marocchino/sticky-pull-request-comment": ({ github, header, path, ...inputs }) => {
    const body = readFileSync(String(path), "utf8");
    if (body.length > BODY_LIMIT) throw new Error(`Body is too long (maximum is ${BODY_LIMIT} characters)`);
    github.comments.set(`${inputs.number_force ?? ""} ${header}`.trim(), body);
  },
};

/** The value of an expression: https://docs.github.com/actions/reference/workflows-and-actions/expressions. */
function evaluate(expression: string, contexts: object): unknown {
  const get = (path: string) =>
    path.split(".").reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], contexts) ??
    "";
  const body = expression
    .trim()
    .replace(/^\$\{\{(.*)\}\}$/s, "$1")
    .replace(/'[^']*'|\b[a-z]\w*(?:\.[\w-]+)+/g, (token) =>
      token.startsWith("'") ? JSON.stringify(token.slice(1, -1)) : `get(${JSON.stringify(token)})`,
    );
  return new Function("get", "cancelled", `return (${body});`)(get, () => false);
}

function readOutputs(path: string): Record<string, string> {
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

function runScript(
  args: string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ status: number | null; log: string }> {
  return new Promise((resolve) => {
    const child = spawn("bash", args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        log += text;
      });
    }
    child.on("close", (status) => resolve({ status, log }));
  });
}
