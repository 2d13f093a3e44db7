// The AWS Encryption SDK for JavaScript as a process: each line of standard input is a command, each line of standard
// output its answer. ../test_encryption_sdk.py drives it and says what the commands mean.

import { createInterface } from "node:readline";

import {
  AlgorithmSuiteIdentifier,
  AwsKmsMrkAwareSymmetricDiscoveryKeyringNode,
  AwsKmsMrkAwareSymmetricKeyringNode,
  CommitmentPolicy,
  KMS,
  KmsKeyringNode,
  NodeCachingMaterialsManager,
  RawRsaKeyringNode,
  buildClient,
  getClient,
  getLocalCryptographicMaterialsCache,
  limitRegions,
} from "@aws-crypto/client-node";

const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);

/** Caching materials managers, which live from one command to the next. */
const managers = new Map();

/** What the KMS answered during the current command: pairs of operation and "ok" or the error's name. */
let calls = [];

const note = (next, context) => async (request) => {
  const operation = context.commandName.replace(/Command$/, "");
  try {
    const answer = await next(request);
    calls.push([operation, "ok"]);
    return answer;
  } catch (error) {
    calls.push([operation, error.name]);
    throw error;
  }
};

class NotingKms extends KMS {
  constructor(settings) {
    super(settings);
    this.middlewareStack.add(note, { step: "initialize", name: "note" });
  }
}

function clients({ endpoint, account }) {
  const credentials = { accessKeyId: account, secretAccessKey: "any" };
  return getClient(NotingKms, { endpoint, credentials, maxAttempts: 1 });
}

const filter = (accounts) => ({ accountIDs: accounts, partition: "aws" });

const keyrings = {
  kms: ({ generator, others }, clientProvider) =>
    new KmsKeyringNode({ clientProvider, generatorKeyId: generator, keyIds: others }),
  discovery: ({ accounts, regions }, clientProvider) =>
    new KmsKeyringNode({
      clientProvider: limitRegions(regions, clientProvider),
      discovery: true,
      discoveryFilter: filter(accounts),
    }),
  mrk: ({ key, region }, clientProvider) =>
    new AwsKmsMrkAwareSymmetricKeyringNode({ client: clientProvider(region), keyId: key }),
  "mrk-discovery": ({ accounts, regions: [region] }, clientProvider) =>
    new AwsKmsMrkAwareSymmetricDiscoveryKeyringNode({
      client: clientProvider(region),
      discoveryFilter: filter(accounts),
    }),
  "raw-rsa": ({ publicKey, privateKey }) =>
    new RawRsaKeyringNode({
      keyNamespace: "test",
      keyName: "pair",
      rsaKey: { publicKey, privateKey },
      oaepHash: "sha256",
    }),
};

/** The keyring that a command asks for; behind a cache if it names one. */
function materials({ keyring, cache, ...connection }) {
  if (cache !== undefined && managers.has(cache)) {
    return managers.get(cache);
  }
  const backingMaterials = keyrings[keyring.kind](keyring, clients(connection));
  if (cache === undefined) {
    return backingMaterials;
  }
  const manager = new NodeCachingMaterialsManager({
    backingMaterials,
    cache: getLocalCryptographicMaterialsCache(10),
    maxAge: 600_000,
    maxMessagesEncrypted: 3,
  });
  managers.set(cache, manager);
  return manager;
}

const commands = {
  async encrypt(command) {
    const plaintext = Buffer.from(command.plaintext, "base64");
    const { result } = await encrypt(materials(command), plaintext, {
      encryptionContext: command.context,
      suiteId: AlgorithmSuiteIdentifier[command.suite],
      plaintextLength: plaintext.length,
    });
    return { message: result.toString("base64") };
  },
  async decrypt(command) {
    const { plaintext, messageHeader } = await decrypt(materials(command), Buffer.from(command.message, "base64"));
    return { plaintext: plaintext.toString("base64"), context: { ...messageHeader.encryptionContext } };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  calls = [];
  let answer;
  try {
    answer = await commands[command.do](command);
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, calls })}\n`);
}
