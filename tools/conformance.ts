/**
 * `npm run conformance`: runs Kubernetes' own conformance tests against a deployed cluster. Exit status: 0: all tests that ran
 * passed; 1: a test failed; 2: the tests could not run.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { CONFORMANCE_FOLDER } from "../cloud/mirror/release-files";
import { holds, LIMITS, mustBe } from "../model/formats";
import { UserError } from "../model/user-error";
import { TESTED } from "../model/versions";
import { foreground, parseOptions, print, runProgram } from "./program";
import { askManifest, successful } from "./registry";

/** The default of `--procs`. */
const PROCS = 3;

/** The time after which ginkgo ends the tests. All of them take about an hour on two processors. */
const TIME_LIMIT = "24h";

/** The time that the API server has for an answer, in seconds. */
const ANSWER_WAIT = 30;

/** The name of ginkgo's report. */
const REPORT = "report.json";

/** The label of the tests that a cluster must pass to be called Kubernetes. */
const LABEL = "Conformance";

/** The states of tests and steps that are no failure. */
const PASSING = ["passed", "skipped", "pending"];

/** The tests of `--smoke`: fast ones, each of another part of the cluster. Names are without labels at the end. */
const SMOKE = [
  "[sig-node] Pods should support remote command execution over websockets",
  "[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs",
  "[sig-network] Services should serve a basic endpoint from pods",
  "[sig-network] DNS should provide DNS for the cluster",
  "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service",
  "[sig-storage] ConfigMap should be consumable from pods in volume",
  "[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones",
  "[sig-auth] ServiceAccounts should mount an API token into pods",
  // The API servers call a pod.
  "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should mutate configmap",
  "[sig-cli] Kubectl client Kubectl expose should create services for rc",
];

/** The images that only a few tests need, so that a mirror may lack them: their names, by the test's name without labels. */
const IMAGES: Readonly<Record<string, readonly string[]>> = {
  "[sig-api-machinery] Aggregator Should be able to support the 1.17 Sample API Server using the current Aggregator": [
    "sample-apiserver",
    "etcd",
  ],
  "[sig-node] Security Context when creating containers with AllowPrivilegeEscalation should not allow privilege escalation when false":
    ["nonewprivs"],
};

const USAGE = `npm run conformance -- [options]    runs Kubernetes' conformance tests against a deployed cluster

  --kubeconfig FILE   the kubeconfig of the cluster's administrator
  --programs FOLDER   the folder with e2e.test, ginkgo and kubectl, in the cluster's version
                      (default: .cloud/releases/conformance; kubectl may also be in the PATH)
  --smoke             runs only ten tests, each of another part of the cluster
  --focus REGEX       runs only the tests whose name matches
  --procs N           runs N tests at a time (default: ${PROCS})
  --registry BASE     a mirror of the images' registry, as in the setting kubernetes.registryMirrors: leaves out the tests that
                      need an image which it lacks
  --report FOLDER     writes report.json and junit.xml into the folder
  --list              prints the names of the tests, and runs none

Some tests taint nodes, fill them and evict pods: use a cluster without pods of your own.`;

const TEXT = { type: "string" } as const;
const FLAG = { type: "boolean" } as const;

const OPTIONS = {
  kubeconfig: TEXT,
  programs: TEXT,
  smoke: FLAG,
  focus: TEXT,
  procs: TEXT,
  registry: TEXT,
  report: TEXT,
  list: FLAG,
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** A test that does not run or does not pass, and why. */
interface Case {
  readonly name: string;
  readonly reason: string;
}

/** The programs with the tests. */
interface Programs {
  readonly folder: string;
  /** Has all tests of Kubernetes. */
  readonly test: string;
  /** Starts `test`, and divides the tests among processes. */
  readonly ginkgo: string;
  /** The version of Kubernetes to which they belong, with `v`. */
  readonly version: string;
}

/**
 * A part of ginkgo's report: a test (`It`), or a step of the whole suite.
 * @see https://pkg.go.dev/github.com/onsi/ginkgo/v2/types#SpecReport
 */
interface Spec {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly State: string;
  readonly Failure?: { readonly Message: string };
}

async function main(args: string[]): Promise<number> {
  const { values } = parseOptions(args, OPTIONS);
  const { procs = String(PROCS), registry, report, list = false } = values;
  if (!/^[1-9]\d?$/.test(procs)) throw new UserError(mustBe("--procs", "a number of tests from 1 to 99", procs));
  if (registry !== undefined && !holds(LIMITS.baseAddress, registry)) {
    throw new UserError(mustBe("--registry", LIMITS.baseAddress.allowed, registry));
  }
  const isChosen = choice(values);
  const kubeconfig = list ? "" : kubeconfigIn(values);
  const programs = programsIn(values.programs ?? CONFORMANCE_FOLDER);
  // The programs write some files of their own into the home and the current folder.
  const folder = mkdtempSync(join(tmpdir(), "conformance-"));
  try {
    const names = namesOf(programs, folder).filter(isChosen);
    if (names.length === 0) throw new UserError(mustBe("--focus", "a part of a conformance test's name", values.focus));
    const leftOut = registry === undefined ? [] : await withoutImages(names, programs, registry);
    const chosen = names.filter((name) => !leftOut.some((test) => test.name === name));
    if (list) {
      for (const name of chosen) print(name);
      for (const test of leftOut) print(line("left out", test));
      return 0;
    }
    const kubectl = kubectlFor(programs);
    checkCluster(kubeconfig, kubectl, programs);
    if (report !== undefined) createFolder("--report", report);
    print(`${chosen.length} of the conformance tests of Kubernetes ${programs.version}, ${procs} at a time`);
    // Without a name, ginkgo would run all tests of Kubernetes.
    const specs =
      chosen.length === 0 ? [] : await runTests(chosen, { programs, kubectl, kubeconfig, procs, folder, report });
    return summarize(specs, chosen, leftOut);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether `--smoke` and `--focus` choose a test, by its name. @throws UserError if `--focus` is not a regular expression */
function choice({ smoke = false, focus = "" }: Values): (name: string) => boolean {
  let pattern: RegExp;
  try {
    pattern = new RegExp(focus);
  } catch {
    throw new UserError(mustBe("--focus", "a regular expression", focus));
  }
  return (name) => pattern.test(name) && (!smoke || SMOKE.includes(withoutLabels(name)));
}

/** Creates the folder in an option, unless it exists. @throws UserError if it cannot be created */
function createFolder(option: string, path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch {
    throw new UserError(mustBe(option, "a folder that exists or can be created", path));
  }
}

/** The path in `--kubeconfig`. @throws UserError if there is no such file */
function kubeconfigIn({ kubeconfig }: Values): string {
  if (kubeconfig === undefined || !existsSync(kubeconfig)) {
    const allowed = "the administrator's file, such as NAME/kubeconfigs/admin.kubeconfig of `npm run credentials`";
    throw new UserError(mustBe("--kubeconfig", allowed, kubeconfig));
  }
  return resolve(kubeconfig);
}

/** The programs in a folder. @throws UserError if one is missing or does not run */
function programsIn(folder: string): Programs {
  const [test, ginkgo] = ["e2e.test", "ginkgo"].map((name) => {
    const path = resolve(folder, name);
    if (existsSync(path)) return path;
    throw new UserError(`${path} is missing: get it from ${archiveOf(`v${TESTED.kubernetes}`)} (docs/conformance.md)`);
  }) as [string, string];
  return { folder, test, ginkgo, version: outputOf(test, "--version").trim() };
}

/** The address of the official archive with the programs of a version. */
function archiveOf(version: string): string {
  return `https://dl.k8s.io/${version}/kubernetes-test-linux-amd64.tar.gz`;
}

/**
 * The kubectl in the folder of the programs, in the mirror of release files beside it, or in the PATH.
 * @throws UserError if it is missing, or of another version than the tests
 */
function kubectlFor({ folder, version }: Programs): string {
  const path = "bin/linux/amd64/kubectl";
  const places = [
    join(folder, "kubectl"),
    join(folder, "../dl.k8s.io", version, path),
    ...(process.env.PATH ?? "").split(delimiter).map((each) => join(each, "kubectl")),
  ];
  const kubectl = places.map((place) => resolve(place)).find(existsSync);
  const got =
    kubectl && JSON.parse(outputOf(kubectl, "version", "--client", "--output", "json")).clientVersion.gitVersion;
  if (kubectl !== undefined && got === version) return kubectl;
  const found = kubectl === undefined ? "none" : `${got} in ${kubectl}`;
  throw new UserError(
    `kubectl must be ${version}, as e2e.test, got: ${found}; put https://dl.k8s.io/${version}/${path} into ${folder}`,
  );
}

/** Checks that the cluster has the version of the tests. @throws UserError if it has not, or if it does not answer */
function checkCluster(kubeconfig: string, kubectl: string, { version }: Programs): void {
  const options = ["--kubeconfig", kubeconfig, "--request-timeout", `${ANSWER_WAIT}s`, "--output", "json"];
  const { gitVersion } = JSON.parse(outputOf(kubectl, "version", ...options)).serverVersion;
  if (gitVersion === version) return;
  throw new UserError(
    `e2e.test must be ${gitVersion}, as the cluster, got: ${version}; get it from ${archiveOf(gitVersion)}`,
  );
}

/** The names of all conformance tests. */
function namesOf({ ginkgo, test }: Programs, folder: string): readonly string[] {
  const options = [
    "--dry-run",
    "--no-color",
    `--label-filter=${LABEL}`,
    `--output-dir=${folder}`,
    `--json-report=${REPORT}`,
  ];
  outputOf(ginkgo, ...options, test);
  return readReport(join(folder, REPORT))
    .filter(({ LeafNodeType, State }) => LeafNodeType === "It" && State === "passed")
    .map(nameOf)
    .sort();
}

/** The tests that need an image which a registry does not have. @throws UserError if the registry does not answer */
async function withoutImages(names: readonly string[], { test }: Programs, registry: string): Promise<readonly Case[]> {
  const tags = outputOf(test, "--list-images").split("\n");
  const cases = names.map(async (name): Promise<readonly Case[]> => {
    for (const image of IMAGES[withoutLabels(name)] ?? []) {
      const tag = tags.find((each) => each.includes(`/${image}:`));
      const answer = tag === undefined ? undefined : await askManifest(tag, registry);
      if (answer?.status === 404) return [{ name, reason: `${registry} does not have ${tag}` }];
      if (answer !== undefined) successful(answer);
    }
    return [];
  });
  return (await Promise.all(cases)).flat();
}

/** The properties of {@link runTests}. */
interface Run {
  readonly programs: Programs;
  readonly kubectl: string;
  readonly kubeconfig: string;
  readonly procs: string;
  readonly folder: string;
  readonly report: string | undefined;
}

/** Runs tests. Ginkgo prints a character for each that passes, and the output of each that fails. @returns its report */
async function runTests(
  names: readonly string[],
  { programs: { ginkgo, test }, kubectl, kubeconfig, procs, folder, report }: Run,
): Promise<readonly Spec[]> {
  const reports = resolve(report ?? folder);
  const file = join(reports, REPORT);
  rmSync(file, { force: true });
  const status = await foreground(
    [
      ginkgo,
      ...["--no-color", "--succinct", "--silence-skips", `--procs=${procs}`, `--timeout=${TIME_LIMIT}`],
      ...names.map((name) => `--focus=${literally(name)}$`),
      ...[`--output-dir=${reports}`, `--json-report=${REPORT}`, "--junit-report=junit.xml"],
      test,
      "--",
      ...[`--kubeconfig=${kubeconfig}`, `--kubectl-path=${kubectl}`, "--provider=skeleton", "--disable-log-dump"],
    ],
    { cwd: folder, env: { ...process.env, HOME: folder } },
  );
  if (!existsSync(file)) throw new UserError(`${ginkgo} wrote no report, and ended with status ${status}`);
  return readReport(file);
}

/** Prints the tests that failed or were left out, and the sums. @returns the exit status */
function summarize(specs: readonly Spec[], chosen: readonly string[], leftOut: readonly Case[]): number {
  const tests = specs.filter((spec) => spec.LeafNodeType === "It" && chosen.includes(nameOf(spec)));
  const ran = tests.filter(({ State }) => State !== "skipped");
  const passed = ran.filter(({ State }) => State === "passed");
  // Steps of the whole suite too.
  const failed = specs.filter(({ State }) => !PASSING.includes(State));
  // A test that leaves itself out has a message. One without it did not begin, because the tests were interrupted.
  const others = [...leftOut, ...tests.filter((spec) => !ran.includes(spec) && spec.Failure?.Message).map(caseOf)];
  const notRun = chosen.length + leftOut.length - ran.length - others.length;
  print("");
  for (const spec of failed) print(line("failed", caseOf(spec)));
  for (const test of others) print(line("left out", test));
  const sums = [
    `${ran.length} ran`,
    `${passed.length} passed`,
    `${ran.length - passed.length} failed`,
    `${others.length} left out`,
    ...(notRun === 0 ? [] : [`${notRun} not run`]),
  ];
  print(sums.join(", "));
  return failed.length + notRun === 0 && ran.length > 0 && passed.length === ran.length ? 0 : 1;
}

function line(state: string, { name, reason }: Case): string {
  return `${state}: ${name}: ${reason}`;
}

/** The name of a test, or of a step of the suite. */
function nameOf({ ContainerHierarchyTexts, LeafNodeText, LeafNodeType }: Spec): string {
  return [...(ContainerHierarchyTexts ?? []), LeafNodeText].filter((text) => text !== "").join(" ") || LeafNodeType;
}

/** A test with the first line of the message about it. */
function caseOf(spec: Spec): Case {
  return { name: nameOf(spec), reason: spec.Failure?.Message.trim().split("\n")[0] || spec.State };
}

/** The name of a test without the labels at its end, which differ between versions: `[LinuxOnly] [Conformance]`. */
function withoutLabels(name: string): string {
  return name.replace(/( \[[^\]]+\])+$/, "");
}

/** The parts of ginkgo's report. */
function readReport(file: string): readonly Spec[] {
  return JSON.parse(readFileSync(file, "utf8")).flatMap(({ SpecReports }: { SpecReports: Spec[] }) => SpecReports);
}

/** A regular expression, of Go too, that matches a text. */
function literally(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
}

/** The output of a program. @throws UserError if it does not run, or fails */
function outputOf(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (error !== undefined) throw new UserError(`${program} cannot be run: ${error.message}`);
  if (status === 0) return stdout;
  const lines = (stderr.trim() || stdout.trim()).split("\n");
  throw new UserError(`${[program, ...args.slice(0, 1)].join(" ")} failed: ${lines.at(-1)}`);
}

runProgram({ name: "conformance", usage: USAGE, main, errorStatus: 2 });
