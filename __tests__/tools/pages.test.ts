import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

// The pages for people: their links lead somewhere, and their commands are run by tests or listed as not run.

const PROJECT = join(__dirname, "../..");
const read = (path: string) => readFileSync(join(PROJECT, path), "utf8");
const inFolder = (folder: string) =>
  readdirSync(join(PROJECT, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name));
const PAGES = ["README.md", "CONTRIBUTING.md", ...inFolder("docs"), ...inFolder("docs/decisions")];

/** The text without blocks of code, in which brackets are no links. */
const prose = (page: string) => read(page).replace(/^ *```.*?^ *```/gms, "");

/** The anchors that GitHub gives to the headings of a page. */
const anchors = (page: string) =>
  [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

test("the README has at most 150 lines", () => {
  expect(read("README.md").trimEnd().split("\n").length).toBeLessThanOrEqual(150);
});

test("the index has each page", () => {
  const index = read("docs/README.md");
  for (const page of inFolder("docs")) {
    const name = relative("docs", page);
    if (name !== "README.md") expect(index).toContain(`](${name})`);
  }
});

test.each(PAGES)("the links of %s lead to a file and a heading", (page) => {
  const targets = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  const broken = targets.filter((target) => {
    // GitHub resolves ../../ from the page of the repository.
    if (/^(https?:|mailto:|\.\.\/\.\.\/actions)/.test(target)) return false;
    const [path = "", anchor] = target.split("#");
    const file = path === "" ? page : join(dirname(page), path);
    if (!existsSync(join(PROJECT, file))) return true;
    return anchor !== undefined && !anchors(file).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test("the addresses in the page on the tutorial are in the contract", () => {
  const contract = read("docs/addresses.md");
  const addresses = [...read("docs/tutorial.md").matchAll(/`((?:data\.)?(?:aws|tls|null)_[a-z_]+\.[a-z0-9-]+)`/g)];
  expect(addresses.length).toBeGreaterThan(30);
  for (const [, address] of addresses) expect(contract).toContain(`- \`${address}\``);
});

/** Sections whose blocks of commands a test reads from the page and runs: the page, the heading, and the test. */
const SECTIONS: readonly (readonly [page: string, heading: string, test: string])[] = [
  ["part-2.md", "Copy kubeconfigs and the encryption config to the machines", "hosts/nodes.test.ts"],
  ["part-2.md", "Move the files into their places", "hosts/nodes.test.ts"],
  ["recovery.md", "A machine that stays stopped", "e2e/cloud.test.ts"],
  ["recovery.md", "An address that something else has", "e2e/addresses.test.ts"],
  ["certificates.md", "Another key for secrets", "hosts/nodes.test.ts"],
  ["recovery.md", "The lock", "e2e/interrupted.test.ts"],
  ["recovery.md", "An empty state file", "e2e/interrupted.test.ts"],
  ["recovery.md", "A copy that was cut off", "e2e/interrupted.test.ts"],
  ["recovery.md", "A file with a key in it", "e2e/interrupted.test.ts"],
  ["recovery.md", "A machine that Terraform does not know of", "e2e/interrupted.test.ts"],
  ["recovery.md", "A VPC that Terraform does not know of", "e2e/interrupted.test.ts"],
  ["kubernetes.md", "How to look at it", "cluster/install.test.ts"],
];

/** Commands with the file that runs them, and a text in it that does. A command has the given begin. */
const COMMANDS: readonly (readonly [begin: string, file: string, text: string])[] = [
  ["npm ci && npm run synth", ".ci/run", "npm run synth"],
  ["npm ci && npm test", ".ci/run", "npm test"],
  ["npm ci", ".ci/run", "npm ci"],
  ["npm run synth", ".ci/run", "npm run synth"],
  ["npm test", ".ci/run", "npm test"],
  ["npm run check", ".ci/run", "npm run check"],
  ["npm run docs", "package.json", "npm run docs -- --check"],
  ["npm run e2e", ".ci/run", "npm run e2e"],
  ["npm run deploy", "__tests__/e2e/cloud.test.ts", '"deploy"'],
  ["npm run diff", "__tests__/e2e/cloud.test.ts", '"diff"'],
  ["npm run destroy", "__tests__/e2e/cloud.test.ts", '"destroy"'],
  ...["up", "deploy", "status", "ssh", "diff", "credentials", "destroy", "down", "reboot", "logs"].map(
    (name) => [`npm run cloud -- ${name}`, "__tests__/e2e/cloud.test.ts", `"${name}"`] as const,
  ),
  ["npm run cloud -- exec terraform apply -replace", "__tests__/e2e/cloud.test.ts", '"exec"'],
  ["npm run cloud -- exec aws ec2 describe-instances", "__tests__/e2e/cloud.test.ts", '"aws"'],
  ["npm run cloud -- up --mirror DIR", "__tests__/hosts/cloud.test.ts", '"--mirror"'],
  ["npm run credentials", "__tests__/e2e/deploy.test.ts", '"credentials"'],
  ["npm run credentials -- --replace", "__tests__/cluster/rolls.test.ts", 'credentials("--replace")'],
  ["npm run cluster -- remove", "__tests__/cluster/counts.test.ts", 'cluster("remove"'],
  ["npm run cluster -- snapshot", "__tests__/cluster/heals.test.ts", 'cluster("snapshot"'],
  ["npm run cluster -- restore", "__tests__/cluster/heals.test.ts", 'cluster("restore"'],
  ["npm run conformance", "__tests__/cluster/install.test.ts", 'conformance("--smoke")'],
  ["npm run review -- --base", "__tests__/tools/review.test.ts", '"--base"'],
  ["npm run --silent cloud -- exec terraform show -json plan > plan.json", "__tests__/e2e/cloud.test.ts", '"show"'],
  ["rm plan.json", "tools/plan-page.sh", "plan"],
  ["npm run cloud -- exec rm plan", "__tests__/e2e/cloud.test.ts", '"exec", "rm", "plan"'],
  ["terraform show -json plan", "tools/plan-page.sh", "show -json"],
  ["npm run --silent review -- --plan", "tools/plan-page.sh", "--plan"],
  ["rm cdktf.out/stacks/k8s-cluster-from-ground-up/plan*", "tools/plan-page.sh", "plan"],
  ["terraform -chdir=cdktf.out/stacks/k8s-cluster-from-ground-up output", "__tests__/e2e/cloud.test.ts", '"output"'],
  ["npm run --silent review -- --base HEAD^1 --format sarif", "__tests__/tools/review.test.ts", '"sarif"'],
  ["npm run --silent diagram", "__tests__/tools/diagram.test.ts", '"diagram"'],
  ["npm run cloud -- kubectl create deployment", "__tests__/cluster/install.test.ts", "npm run cloud -- kubectl"],
  ["kubectl --kubeconfig", "testing/kubernetes-rehearsal.ts", '"--kubeconfig"'],
  ["terraform apply -replace=aws_instance.", "__tests__/e2e/deploy.test.ts", "-replace=aws_instance."],
  [
    "terraform apply -replace=tls_private_key.ca-private-key",
    "__tests__/e2e/deploy.test.ts",
    "-replace=tls_private_key.ca",
  ],
];

/** Lines that prepare a command. */
const AROUND =
  /^(\(|\)|umask 077|cd [^&|;]+|terraform init|export (CLUSTER_SETTINGS|TF_CLI_CONFIG_FILE|TERRAFORM_BINARY_NAME|TF_ENCRYPTION)=.+|[A-Z_]+=\S+)$/;

/** The rows of the table of commands that are not run. */
const NOT_RUN = [
  ...(read("docs/README.md").split("\n## Not run\n")[1] ?? "").matchAll(/^\| `([^`]+)` \| (.+) \|$/gm),
].map(([, command = "", reason = ""]) => ({ command, reason }));

/** The commands of a page that no test reads from it, one a line, without comments. */
function commandsOf(page: string): string[] {
  return read(page)
    .split(/^(?=## )/m)
    .filter(
      (section) =>
        !SECTIONS.some(([name, heading]) => page === `docs/${name}` && section.startsWith(`## ${heading}\n`)),
    )
    .flatMap((section) => [...section.matchAll(/```(?:sh|bash)\n(.*?)```/gs)])
    .flatMap(([, block = ""]) => block.replaceAll(/\\\n\s*/g, "").split("\n"))
    .map((line) => line.replace(/\s+#.*$/, "").trim())
    .filter((line) => line !== "" && !AROUND.test(line));
}

test.each(SECTIONS)("the commands of %s, %s are read and run by %s", (page, heading, file) => {
  expect(read(join("docs", page))).toContain(`\n## ${heading}\n`);
  const source = read(join("__tests__", file));
  expect(source).toContain(`"${heading}"`);
  expect(source).toContain(`shellBlocks("${page}"`);
});

test.each(COMMANDS)("%s is run by %s", (_, file, text) => {
  expect(read(file)).toContain(text);
});

test.each(PAGES)("each command of %s is run by a test, or is listed as not run", (page) => {
  // The line has no second command after the known one.
  const isKnown = (line: string) =>
    COMMANDS.some(([begin]) => line.startsWith(begin) && !/&&|[;|<`]|\$\(/.test(line.slice(begin.length))) ||
    NOT_RUN.some(({ command }) => line.startsWith(command));
  const unknown = commandsOf(page).filter((line) => !isKnown(line));
  expect(unknown).toEqual([]);
});

/** The sources of the programs that read the options of an npm script, or of the npm script that `cloud` runs. */
const sourcesOf = (script: string, args: string) =>
  [script, ...(script === "cloud" ? [args.split(" ")[0] as string] : [])]
    .map((name) => (["synth", "deploy", "diff", "destroy"].includes(name) ? "terraform" : name))
    .map((name) => `tools/${name}.ts`)
    .filter((path) => existsSync(join(PROJECT, path)))
    .map(read)
    .join("\n");

test("the options of npm scripts on the pages exist", () => {
  const lines = PAGES.flatMap(commandsOf);
  const options = lines.flatMap((line) => {
    const [, script = "", args = ""] = /^npm run (?:--silent )?([\w-]+) -- ([^|]*)/.exec(line) ?? [];
    if (["e2e", "control-plane", "test"].includes(script)) return []; // jest's
    // The options of other programs follow their names.
    const own = args.replace(/^(exec|kubectl|logs|ssh) .*/, "");
    return (own.match(/(?<= |^)--[a-z][\w-]*/g) ?? []).map((option) => ({ line, option, script, args }));
  });
  expect(options.length).toBeGreaterThan(8);
  const missing = options.filter(
    ({ option, script, args }) =>
      !new RegExp(`["' ,{]${option.slice(2)}\\b|${option}\\b`).test(sourcesOf(script, args)),
  );
  expect(missing).toEqual([]);
});

test("each command that is listed as not run is on a page, and has a reason", () => {
  const lines = PAGES.flatMap(commandsOf);
  for (const { command, reason } of NOT_RUN) {
    expect(lines.filter((line) => line.startsWith(command))).not.toEqual([]);
    expect(reason.length).toBeGreaterThan(10);
  }
});
