import { type Component, HEADER, unit } from "./component";

const RULES = "/usr/local/lib/kubernetes/pod-masquerade.nft";

const FACTS = {
  name: "pod-masquerade",
  role: "worker",
  description: "Source addresses of pods' traffic to other networks",
  user: "root",
  ports: [],
} as const;

/**
 * Traffic from a worker's pods to addresses outside of the pod network gets the worker's address: the internet, and also the
 * VPC, because Amazon's resolver and the metadata service answer only machines. Pods see each other's addresses.
 */
export const podMasquerade: Component = {
  ...FACTS,
  files: ({ podNetwork }, { podCidr = "" }) => [
    unit(FACTS, {
      program: `/usr/sbin/nft -f ${RULES}`,
      service: ["Type=oneshot", "RemainAfterExit=yes"],
      flags: {},
    }),
    {
      path: RULES,
      // The first two lines make a second run replace the table.
      content: `${HEADER}
table ip pod-masquerade
delete table ip pod-masquerade
table ip pod-masquerade {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${podCidr} ip daddr != ${podNetwork} masquerade
  }
}
`,
    },
  ],
};
