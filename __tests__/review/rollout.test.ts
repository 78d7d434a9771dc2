import type { Block } from "../../cloud/terraform-json";
import type { Changes } from "../../review/changes";
import { compare, type Document } from "../../review/compare";
import { findingsOf } from "../../review/findings";
import { describeFinding, renderPage } from "../../review/page";
import { readPlan } from "../../review/plan";
import type { ClusterSettingsInput } from "../../settings/schema";
import { planBetween } from "../../testing/plan-json";
import { synthesizeCluster } from "../../testing/synthesize";

type Kubernetes = NonNullable<ClusterSettingsInput["kubernetes"]>;

const KUBERNETES: Kubernetes = { version: "1.37.2" };

const known = new Map<string, string>();

/** A cluster with numbers of machines; with three of the control plane and one worker by default. */
function cluster(
  masters = 3,
  workers = 1,
  kubernetes: Kubernetes | undefined = KUBERNETES,
  others: ClusterSettingsInput = {},
) {
  const settings = { controlPlane: { count: masters }, workers: { count: workers }, kubernetes, ...others };
  const key = JSON.stringify(settings);
  known.set(key, known.get(key) ?? JSON.stringify(synthesizeCluster(settings)));
  return JSON.parse(known.get(key) as string) as Document & { resource: Record<string, Record<string, Block>> };
}

const at = ({ resource }: ReturnType<typeof cluster>, type: string, name: string) => resource[type]?.[name] as Block;

/** A cluster in which machines get an encrypted disk, for which they are replaced. */
function replacing(ids: readonly string[], document = cluster()) {
  for (const id of ids) Object.assign(at(document, "aws_instance", id), { root_block_device: { encrypted: true } });
  return document;
}

const WAYS: Record<string, (before: Document, after: Document) => Changes> = {
  comparison: compare,
  plan: (before, after) => readPlan(planBetween(before, after)),
};

/** The text of the finding of a kind; undefined if there is none. */
function textOf(kind: string, changes: Changes): string | undefined {
  const finding = findingsOf(changes).find((each) => each.kind === kind);
  return finding && describeFinding(finding);
}

/** The lines of a section of the page. */
function linesOf(heading: string, changes: Changes): string[] {
  const [, section = ""] = renderPage(changes).split(`### ${heading}\n\n`);
  return section.split("\n\n")[0]?.split("\n").filter(Boolean) ?? [];
}

const masters = (...numbers: number[]) => numbers.map((number) => `master-${number}`);
const named = (ids: readonly string[]) => ids.map((id) => `\`aws_instance.${id}\``).join(", ");
const ADD =
  "Add control plane machines in a deploy before: an odd number of at least 3 survives the replacement of one";
const REPLACE = "Replace one machine per deploy";
const remove = (ids: readonly string[]) =>
  `Before the deploy, run \`npm run cluster -- remove ${ids.join(" ")}\`; this page cannot know whether that was done`;

describe.each(Object.keys(WAYS))("in a %s,", (way) => {
  const changesOf = WAYS[way] as (typeof WAYS)[string];

  describe("control plane machines go at once:", () => {
    test.each<
      [members: number, left: number, replaced: readonly string[], gone: readonly string[], notes: readonly string[]]
    >([
      [
        3,
        3,
        masters(0, 2),
        masters(0, 2),
        ["Without 2 of 3 members, etcd has no quorum, and the API servers do not answer", REPLACE],
      ],
      [
        5,
        5,
        masters(0, 1),
        masters(0, 1),
        ["Without 2 of 5 members, etcd has no quorum after the next failure", REPLACE],
      ],
      [4, 4, masters(3), masters(3), ["Without 1 of 4 members, etcd has no quorum after the next failure", ADD]],
      [
        2,
        2,
        masters(0),
        masters(0),
        ["Without 1 of 2 members, etcd has no quorum, and the API servers do not answer", ADD],
      ],
      [1, 1, masters(0), masters(0), ["No member is left of 1, so all data of etcd are lost", ADD]],
      [
        7,
        7,
        masters(0, 1),
        masters(0, 1),
        ["Without 2 of 7 members, etcd has no quorum after 2 more failures", REPLACE],
      ],
      [
        3,
        1,
        [],
        masters(1, 2),
        ["Without 2 of 3 members, etcd has no quorum, and the API servers do not answer", remove(masters(1, 2))],
      ],
      [
        5,
        3,
        [],
        masters(3, 4),
        ["Without 2 of 5 members, etcd has no quorum after the next failure", remove(masters(3, 4))],
      ],
      [
        2,
        1,
        [],
        masters(1),
        ["Without 1 of 2 members, etcd has no quorum, and the API servers do not answer", remove(masters(1))],
      ],
      [
        5,
        4,
        masters(0),
        masters(0, 4),
        ["Without 2 of 5 members, etcd has no quorum after the next failure", REPLACE, remove(masters(4))],
      ],
    ])("%i before, %i after, %j replaced", (members, left, replaced, gone, notes) => {
      const changes = changesOf(cluster(members), replacing(replaced, cluster(left)));
      const [start, ...others] = (textOf("lose-quorum", changes) ?? "").split(". ");
      expect(start).toMatch(`${named(gone)}: control plane machines go at once, so etcd loses its quorum`);
      expect(others).toEqual(notes);
    });

    test.each<[members: number, left: number, replaced: readonly string[]]>([
      [3, 3, masters(1)],
      [5, 5, masters(4)],
      [3, 2, []],
      [4, 3, []],
      [3, 5, []],
      [3, 3, ["worker-0"]],
    ])("no finding for %i before, %i after, %j replaced", (members, left, replaced) => {
      const changes = changesOf(cluster(members), replacing(replaced, cluster(left)));
      expect(textOf("lose-quorum", changes)).toBeUndefined();
    });

    test.each([[3], [2]])("another instance type stops all of %i machines at the same time", (members) => {
      const larger = { controlPlane: { count: members, instanceType: "t3.large" } };
      const after = synthesizeCluster({ kubernetes: { version: "1.37.2" }, workers: { count: 1 }, ...larger });
      const text = textOf("lose-quorum", changesOf(cluster(members, 1), after as unknown as Document));
      expect(text).toContain(
        `${members} of ${members} members stop at the same time, so the API servers do not answer until enough of them run again; they keep their data. To stop one machine after the other, run \`terraform apply -target=aws_instance.master-${members - 1}\` for each before`,
      );
    });

    test("without Kubernetes before, there is nothing to lose", () => {
      const plain = synthesizeCluster({ workers: { count: 1 } }) as unknown as Document;
      const after = replacing(masters(0, 1, 2));
      expect(textOf("lose-quorum", changesOf(plain, after))).toBeUndefined();
      expect(linesOf("Drains and joins", changesOf(plain, after))).toEqual([]);
    });
  });

  test("machines that are removed must leave the cluster before: workers, then the control plane, one command a role", () => {
    const changes = changesOf(cluster(4, 3), cluster(3, 1));
    expect(linesOf("Before the deploy", changes)).toEqual([
      " 1. `npm run cluster -- remove worker-1 worker-2`: moves the pods of each to other nodes, and deletes its Node",
      " 2. `npm run cluster -- remove master-3`: takes each out of etcd, and stops its control plane",
    ]);
  });

  test("machines join", () => {
    const changes = changesOf(cluster(3, 2), replacing(["worker-0", "master-1"], cluster(5, 3)));
    expect(linesOf("Drains and joins", changes)).toEqual([
      " - `master-1`: a new member of etcd in the place of the lost one; the other members send it the data",
      " - `master-3`, `master-4`: a new member of etcd with an API server, one machine after the other",
      " - `worker-0`: a new node in the place of the earlier one, which is not drained: its pods are deleted",
      " - `worker-2`: a new node",
    ]);
  });

  test("no machine joins etcd without a quorum", () => {
    expect(linesOf("Drains and joins", changesOf(cluster(), replacing(masters(0, 1))))).toEqual([]);
  });

  const UPGRADES: [string, Kubernetes, Kubernetes, string[], string[]][] = [
    ["a later patch", { version: "1.37.1" }, KUBERNETES, ["`kubernetes 1.37.1 -> 1.37.2`"], []],
    ["an earlier patch", KUBERNETES, { version: "1.37.1" }, [], ["`kubernetes 1.37.2 -> 1.37.1`"]],
    [
      "another minor version of etcd",
      { ...KUBERNETES, components: { etcd: "3.6.5" } },
      { ...KUBERNETES, components: { etcd: "3.7.3" } },
      [],
      ["`etcd 3.6.5 -> 3.7.3`"],
    ],
    [
      "a later patch of both",
      { version: "1.37.1", components: { etcd: "3.7.2" } },
      { version: "1.37.2", components: { etcd: "3.7.3" } },
      ["`kubernetes 1.37.1 -> 1.37.2`, `etcd 3.7.2 -> 3.7.3`"],
      [],
    ],
    [
      "a patch of ten or more",
      { ...KUBERNETES, version: "1.37.9" },
      { ...KUBERNETES, version: "1.37.10" },
      ["`kubernetes 1.37.9 -> 1.37.10`"],
      [],
    ],
    ["another containerd", KUBERNETES, { ...KUBERNETES, components: { containerd: "2.4.1" } }, [], []],
  ];

  test.each(UPGRADES)("another version: %s", (_case, before, after, upgrades, refused) => {
    const changes = changesOf(cluster(3, 1, before), cluster(3, 1, after));
    const startOf = (kind: string) => textOf(kind, changes)?.split(": ").slice(0, 1) ?? [];
    expect([startOf("upgrade"), startOf("refused-upgrade")]).toEqual([upgrades, refused]);
  });

  test("another minor version of Kubernetes is refused, and an upgrade of a replaced machine is none", () => {
    const changes = changesOf(cluster(3, 1, { version: "1.36.4" }), cluster());
    expect(textOf("refused-upgrade", changes)).toMatch("`kubernetes 1.36.4 -> 1.37.2`");
    const ids = [...masters(0, 1, 2), "worker-0"];
    const replaced = changesOf(cluster(3, 1, { version: "1.36.4" }), replacing(ids));
    expect(textOf("refused-upgrade", replaced)).toBeUndefined();
  });

  test.each([
    [undefined, "Workers: one at a time", "one machine after the other"],
    [2, "Workers: 2 at a time", "2 machines at a time"],
  ])("workers are drained in waves, with maxUnavailable %s", (maxUnavailable, note, order) => {
    const kubernetes = { ...KUBERNETES, rollingUpdate: { maxUnavailable } };
    const changes = changesOf(cluster(3, 3, { ...kubernetes, version: "1.37.1" }), cluster(3, 3, kubernetes));
    expect(textOf("upgrade", changes)).toMatch(note);
    expect(linesOf("Drains and joins", changes)).toEqual([
      ` - \`worker-0\`, \`worker-1\`, \`worker-2\`: drained before the programs are replaced, and uncordoned afterwards, ${order}`,
    ]);
  });

  const DRAINED = "drained before the programs are replaced, and uncordoned afterwards";

  test.each<[string, Kubernetes["components"], string[]]>([
    ["containerd", { containerd: "2.4.1" }, [DRAINED]],
    ["runc", { runc: "1.4.3" }, [DRAINED]],
    ["CoreDNS", { coreDns: "1.13.0" }, []],
    ["etcd", { etcd: "3.7.2" }, []],
  ])("a worker is drained for another version of %s", (_name, components, effects) => {
    const changes = changesOf(cluster(), cluster(3, 1, { ...KUBERNETES, components }));
    expect(linesOf("Drains and joins", changes)).toEqual(effects.map((effect) => ` - \`worker-0\`: ${effect}`));
  });

  test("a renewed certificate drains nothing", () => {
    const changes = changesOf(cluster(), cluster(3, 1, KUBERNETES, { pki: { validityHours: 4000 } }));
    expect(linesOf("Drains and joins", changes)).toEqual([]);
    expect(findingsOf(changes).map(({ kind }) => kind)).not.toContain("upgrade");
  });

  test("the page names triggers, and shows neither hashes nor ids", () => {
    const version = renderPage(changesOf(cluster(3, 1, { version: "1.37.1" }), cluster()));
    expect(version).toContain("| `triggers.kubernetes` | `1.37.1` | `1.37.2` | replaced |");
    expect(version).toContain("| `triggers.files` |  |  | replaced; files or commands |");
    const renewed = renderPage(changesOf(cluster(), cluster(3, 1, KUBERNETES, { pki: { caValidityHours: 87_600 } })));
    // In a comparison, the expression of the hash is the same.
    const row = "| `triggers.certificates` |  |  | replaced; certificates, keys or kubeconfigs |";
    expect(renewed.includes(row)).toBe(way === "plan");
    for (const page of [version, renewed]) {
      expect(page).not.toMatch(/triggers\.(copies|machine|steps|kubernetes` \| `1\.37\.2)|700000|sha256\(join/);
      expect(page).not.toMatch(/triggers.*[0-9a-f]{64}/);
    }
  });

  test("a trigger that is no hash or id is shown", () => {
    const after = cluster(3, 1, { version: "1.37.1" });
    Object.assign(at(after, "null_resource", "kubernetes-worker-0").triggers, {
      copies: "curl evil",
      config: "2",
    });
    const page = renderPage(changesOf(cluster(), after));
    expect(page).toMatch(/triggers\.copies` \| .* \| `curl evil` \|/);
  });
});

test("an etcd that reads its certificate again is not restarted", () => {
  const page = renderPage(compare(cluster(), cluster(3, 1, KUBERNETES, { pki: { validityHours: 4000 } })));
  expect(page).toContain("`kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, one machine after the other");
  expect(page).not.toContain("`etcd`");
});

test("a plan that destroys everything loses the data, and no command can help", () => {
  const changes = readPlan(planBetween(cluster(), {}));
  expect(textOf("lose-quorum", changes)).toMatch("No member is left of 3, so all data of etcd are lost");
  expect(textOf("lose-quorum", changes)).not.toMatch("npm run");
  expect(linesOf("Before the deploy", changes)).toEqual([]);
});

test("a machine that an earlier replacement left does not count", () => {
  const plan = JSON.parse(planBetween(cluster(), replacing(masters(0, 1))));
  const change = { actions: ["delete"], before: {}, after: null };
  const left = { address: "aws_instance.master-1", type: "aws_instance", mode: "managed", deposed: "0a1b2c3d", change };
  const changes = readPlan(JSON.stringify({ ...plan, resource_changes: [...plan.resource_changes, left] }));
  expect(textOf("lose-quorum", changes)).toMatch("Without 2 of 3 members");
});

test("a second cluster takes nothing away from the first", () => {
  const changes = compare(cluster(), cluster(1, 1, KUBERNETES, { name: "other" }));
  expect(textOf("lose-quorum", changes)).toBeUndefined();
  expect(linesOf("Before the deploy", changes)).toEqual([]);
});

test("a plan has the versions before from the triggers, and no version that stays", () => {
  const page = renderPage(readPlan(planBetween(cluster(3, 1, { version: "1.37.1" }), cluster())));
  expect(page).toContain("| `master-0`, `master-1`, `master-2` | `kube-apiserver` | `1.37.1` | `1.37.2` |");
  const renewed = readPlan(planBetween(cluster(), cluster(3, 1, KUBERNETES, { pki: { validityHours: 4000 } })));
  expect(renderPage(renewed)).not.toContain("| `kubelet` |");
});
