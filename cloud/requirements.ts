import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import { INSTALL_TERRAFORM, terraformEnvironment, terraformProgram } from "../model/terraform";
import { isEmulatorInstalled } from "./emulator";
import { hasMemoryGroups } from "./machine/cgroups";
import { isRootInstalled } from "./machine/root";
import { CONFORMANCE_FOLDER } from "./mirror/release-files";
import { CLI_CONFIG } from "./providers";

const PROJECT = join(__dirname, "..");

/** The file systems on which the kernel refuses a machine's disk, by the number that statfs returns. */
const UNFIT_FILE_SYSTEMS = { overlay: 0x794c7630, NFS: 0x6969, "9p": 0x01021997, FAT: 0x4d44 };

/** The command of the linter for GitHub's workflows. It runs from source, at a fixed version. */
export const ACTIONLINT = ["go", "run", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"] as const;

/** Mounts an overlay. It runs in a mount namespace of its own. */
const OVERLAY_SCRIPT = `
mount -t tmpfs tmpfs /mnt
cd /mnt
mkdir lower upper work root
mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay root
`;

/** The requirements that a program or test may have of the machine: a check of each, and the way to meet it. */
const REQUIREMENTS = {
  "Terraform 1.11": { isMet: hasTerraform, get: INSTALL_TERRAFORM },
  OpenTofu: { isMet: () => isCommand("tofu"), get: "install OpenTofu 1.12 or later" },
  openssl: { isMet: () => succeeds("openssl", "version"), get: "install openssl" },
  sshd: {
    isMet: () => existsSync("/usr/sbin/sshd") && ["ssh", "ssh-keygen", "setpriv", "nsenter", "perl"].every(isCommand),
    get: "install openssh-server, openssh-client, iproute2 and util-linux",
  },
  sudo: { isMet: () => isCommand("sudo"), get: "install sudo" },
  gh: { isMet: () => isCommand("gh"), get: "install gh, GitHub's command line" },
  jq: { isMet: () => isCommand("jq"), get: "install jq" },
  "root with network namespaces": {
    isMet: () => succeeds("unshare", "--net", "--mount", "ip", "link", "set", "lo", "up"),
    get: 'run it as root on Linux: sudo env "PATH=$PATH" npm run ...',
  },
  "Python 3 with venv": {
    isMet: () => succeeds("python3", "-c", "import venv, ensurepip"),
    get: "install python3-venv",
  },
  shellcheck: { isMet: () => isCommand("shellcheck"), get: "install shellcheck" },
  curl: { isMet: () => isCommand("curl"), get: "install curl" },
  "ping and dig": { isMet: () => ["ping", "dig"].every(isCommand), get: "install iputils-ping and bind9-dnsutils" },
  "Go that can fetch actionlint": {
    isMet: () => succeeds(...ACTIONLINT, "-version"),
    get: "install Go 1.24 or later",
  },
  "systemd-nspawn": { isMet: () => isCommand("systemd-nspawn"), get: "install systemd-container" },
  debootstrap: {
    isMet: () => isCommand("debootstrap") && existsSync("/usr/share/keyrings/debian-archive-keyring.gpg"),
    get: "install debootstrap and debian-archive-keyring",
  },
  nftables: { isMet: () => isCommand("nft"), get: "install nftables" },
  "x86_64 processor": {
    isMet: () => process.arch === "x64",
    get: `use a machine with an x86_64 processor, ${process.arch} is not supported`,
  },
  "permission to mount": {
    isMet: () => succeeds("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"),
    get: "run it as root, and outside of a container or in a container with all privileges (docker run --privileged)",
  },
  overlayfs: {
    isMet: () => succeeds("unshare", "--mount", "sh", "-ec", OVERLAY_SCRIPT),
    get: "load the kernel's module: modprobe overlay",
  },
  "control groups for memory": {
    isMet: hasMemoryGroups,
    get: "mount /sys/fs/cgroup writable, with the memory controller (cgroup_enable=memory)",
  },
  "a disk for overlays": {
    isMet: () => !Object.values(UNFIT_FILE_SYSTEMS).includes(statfsSync(PROJECT).type),
    get: `move the project to a local disk, ${Object.keys(UNFIT_FILE_SYSTEMS).join(", ")} cannot have a machine's disk`,
  },
  "512 MiB of free memory": { isMet: () => availableMemory() >= 512 * 2 ** 20, get: "end other programs" },
  "3 GB of free disk": {
    isMet: () => freeDisk() >= 3e9,
    get: "make room in the project's file system",
  },
  "installed providers": { isMet: () => existsSync(CLI_CONFIG), get: "npm run cloud -- deploy installs them" },
  "Kubernetes' conformance tests": {
    isMet: () => ["e2e.test", "ginkgo"].every((name) => existsSync(join(CONFORMANCE_FOLDER, name))),
    get: "docs/conformance.md has their places",
  },
  moto: { isMet: isEmulatorInstalled, get: "npm run cloud -- up installs it" },
  "the machines' Debian": { isMet: () => isRootInstalled(), get: "npm run cloud -- up installs it" },
};

/** The name of a requirement that a program or test may have of the machine. */
export type Requirement = keyof typeof REQUIREMENTS;

/** The requirements of machines that boot. */
export const MACHINES = [
  "x86_64 processor",
  "root with network namespaces",
  "permission to mount",
  "overlayfs",
  "a disk for overlays",
  "control groups for memory",
  "systemd-nspawn",
  "debootstrap",
  "nftables",
  "sshd",
  "512 MiB of free memory",
  "3 GB of free disk",
] as const satisfies readonly Requirement[];

/** The test suites that some machines cannot run, and the requirements of each. */
const SUITES = {
  "real Terraform": ["Terraform 1.11"],
  OpenTofu: ["OpenTofu"],
  "OpenTofu with the providers": ["OpenTofu", "installed providers"],
  "OpenSSL's view of the certificates": ["openssl"],
  "real ssh": ["Terraform 1.11", "openssl", "sshd", "root with network namespaces"],
  "files on machines": ["sshd", "sudo", "jq", "root with network namespaces"],
  "a full disk, and folders of others": ["root with network namespaces"],
  "a mirror in the network of the emulated cloud": ["root with network namespaces"],
  "programs on a machine": ["root with network namespaces", "permission to mount", "curl", "openssl"],
  "networks of the emulated cloud": ["root with network namespaces", "nftables", "openssl"],
  "checks of shell scripts": ["shellcheck"],
  actionlint: ["Go that can fetch actionlint"],
  "the workflows' scripts": ["gh"],
  "the workflows' scripts with Terraform": ["gh", "Terraform 1.11"],
  "the conformance tests": ["Kubernetes' conformance tests"],
  "machines that boot": MACHINES,
  "the network of a VPC": ["root with network namespaces", "nftables", "ping and dig", "curl"],
  "the emulated cloud": [...MACHINES, "moto", "the machines' Debian"],
  "the providers' schemas": ["Terraform 1.11", "installed providers"],
} as const satisfies Record<string, readonly Requirement[]>;

/** The requirements that this machine does not meet, each with the way to meet it. */
export function missing(
  requirements: readonly Requirement[],
): { readonly requirement: Requirement; readonly get: string }[] {
  return requirements
    .filter((requirement) => !REQUIREMENTS[requirement].isMet())
    .map((requirement) => ({ requirement, get: REQUIREMENTS[requirement].get }));
}

/** The requirements of a suite that this machine does not meet. */
export function missingFor(suite: keyof typeof SUITES): Requirement[] {
  return missing(SUITES[suite]).map(({ requirement }) => requirement);
}

/** Defines a test suite. It is skipped on a machine that does not meet its requirements. */
export function describeSuite(suite: keyof typeof SUITES, tests: () => void): void {
  (missingFor(suite).length === 0 ? describe : describe.skip)(suite, tests);
}

/**
 * A line for each requirement that this machine does not meet: the way to meet it, and the suites that are skipped without it.
 * @param options.except - requirements that do not count @default - none
 */
export function skippedSuites({ except = [] }: { readonly except?: readonly Requirement[] } = {}): string[] {
  const suites = Object.keys(SUITES) as (keyof typeof SUITES)[];
  const lacks = suites.flatMap((suite) => missing(SUITES[suite]).map((each) => ({ ...each, suite })));
  return [...new Set(lacks.map(({ requirement }) => requirement))]
    .filter((requirement) => !except.includes(requirement))
    .map((wanted) => {
      const found = lacks.filter(({ requirement }) => requirement === wanted);
      return `no ${wanted} (${found[0]?.get}): ${found.map(({ suite }) => suite).join("; ")}`;
    });
}

function isCommand(name: string): boolean {
  return succeeds("sh", "-c", `command -v ${name}`);
}

function succeeds(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore" }).status === 0;
}

function hasTerraform(): boolean {
  const { stdout } = spawnSync(terraformProgram(), ["version", "-json"], {
    encoding: "utf8",
    env: terraformEnvironment(),
  });
  const [, major, minor] = /"terraform_version": "(\d+)\.(\d+)/.exec(stdout ?? "") ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 11);
}

/** The memory that programs can get, in bytes. */
function availableMemory(): number {
  if (!existsSync("/proc/meminfo")) return freemem();
  const [, kiB] = /^MemAvailable: +(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
  return Number(kiB) * 1024;
}

/** The free space in the project's file system, in bytes. */
function freeDisk(): number {
  const { bavail, bsize } = statfsSync(PROJECT);
  return bavail * bsize;
}
