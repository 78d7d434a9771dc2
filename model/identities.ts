/** Clients of the API server, and the pair that signs service account tokens. */
export const CLIENTS: Record<string, { readonly commonName: string; readonly organization?: string }> = {
  "kube-scheduler": { commonName: "system:kube-scheduler", organization: "system:kube-scheduler" },
  "kube-proxy": { commonName: "system:kube-proxy", organization: "system:node-proxier" },
  "kube-controller-manager": {
    commonName: "system:kube-controller-manager",
    organization: "system:kube-controller-manager",
  },
  admin: { commonName: "admin", organization: "system:masters" },
  "service-account": { commonName: "service-accounts" },
};

/** The names under which pods reach the API server. */
export const API_SERVICE_NAMES = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster",
  "kubernetes.default.svc.cluster.local",
];
