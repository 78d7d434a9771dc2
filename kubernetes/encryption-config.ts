import { value } from "./yaml";

/**
 * The file for `kube-apiserver --encryption-provider-config`, which is a secret. API servers then encrypt secrets in etcd,
 * and still read those that were written unencrypted before.
 * @param key - 32 bytes in base64, and a name. API servers write the name before the encrypted data, so each key needs a
 *   different name. Neither of both can add a field.
 * @see https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/
 */
export function encryptionConfig(key: { readonly name: string; readonly base64: string }): string {
  return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - aescbc:
      keys:
      - name: ${value(key.name)}
        secret: ${value(key.base64)}
  - identity: {}
`;
}
