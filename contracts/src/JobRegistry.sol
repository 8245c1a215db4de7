// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {AccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title JobRegistry
/// @notice Records the outcomes of jobs: one by one, in batches of records, or as Merkle roots, under one dense counter
/// of sequence numbers.
/// @dev Trust: the operator decides what is confirmed. Nobody can change, reorder or remove what was, each sequence
/// number is taken once and in order, and a job key is stored at most once, by whichever way. That one job is not
/// anchored twice under two roots cannot be seen by a contract that stores only roots: whoever holds the leaves sees it,
/// and only one of the two can ever be materialised.
///
/// EIP712 stands before Pausable so that `_paused` and `nextSequence` share one slot: a confirmation reads it once.
contract JobRegistry is AccessControlDefaultAdminRules, EIP712, Pausable {
    /// @notice Who may confirm jobs and commit roots.
    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");
    /// @notice Who may hold confirmations back and let them go on.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");
    /// @notice Whose attestations count: the register of the tenants' addresses, kept by the admin.
    /// @dev An address in place of a tenant's id, which never goes on chain. Being in the register allows no call.
    bytes32 public constant TENANT_ROLE = keccak256("TENANT_ROLE");
    /// @notice What a tenant signs to attest a result: its EIP-712 type. `jobId` is the job key, `resultHash` the digest.
    bytes32 public constant JOB_RESULT_TYPEHASH = keccak256(
        "JobResult(bytes32 jobId,address tenant,bytes32 resultHash,uint8 status,uint64 completedAt,uint256 deadline)"
    );
    /// @notice The most jobs that one root may stand for.
    uint32 public constant MAX_BATCH = 10_000;
    /// @notice The most records in one call; bounds its loop far below EIP-7825's cap of 2**24 gas.
    uint256 public constant MAX_RECORDS = 50;
    /// @notice Status of a job that gave a result.
    uint8 public constant STATUS_SUCCESS = 1;
    /// @notice Status of a job that failed.
    uint8 public constant STATUS_FAILURE = 2;

    /// @notice The outcome of one job, as a leaf of its batch's tree.
    /// @param sequence The job's number in the one counter of confirmations.
    /// @param jobKey keccak256(abi.encode(tenantId, apiJobId, salt)).
    /// @param resultDigest keccak256(abi.encode(salt, keccak256(result))).
    /// @param usageDigest keccak256 of the salted usage that was billed.
    /// @param status 1 for success, 2 for failure.
    struct Leaf {
        uint64 sequence;
        bytes32 jobKey;
        bytes32 resultDigest;
        bytes32 usageDigest;
        uint8 status;
    }

    /// @notice The outcome of one job, as the operator hands it in to be stored.
    /// @param jobKey keccak256(abi.encode(tenantId, apiJobId, salt)).
    /// @param resultDigest keccak256(abi.encode(salt, keccak256(result))).
    /// @param status 1 for success, 2 for failure.
    /// @param completedAt When the job ended, in Unix seconds, as the operator says; not after the block's time.
    struct Record {
        bytes32 jobKey;
        bytes32 resultDigest;
        uint8 status;
        uint64 completedAt;
    }

    /// @notice Everything that the stored hash of a confirmation stands for, as its events tell it.
    /// @param sequence The job's number in the one counter of confirmations.
    /// @param jobKey keccak256(abi.encode(tenantId, apiJobId, salt)).
    /// @param tenant Who attested the result; zero when nobody did.
    /// @param resultDigest keccak256(abi.encode(salt, keccak256(result))).
    /// @param status 1 for success, 2 for failure.
    /// @param completedAt When the job ended, in Unix seconds, as the operator says.
    /// @param confirmedAt The time of the block that confirmed it, in Unix seconds.
    struct Confirmation {
        uint64 sequence;
        bytes32 jobKey;
        address tenant;
        bytes32 resultDigest;
        uint8 status;
        uint64 completedAt;
        uint64 confirmedAt;
    }

    /// @notice A job was confirmed and its record stored.
    /// @param jobKey The job.
    /// @param sequence The number that it took.
    /// @param resultDigest The salted hash of its result.
    /// @param status 1 for success, 2 for failure.
    /// @param completedAt When the job ended, as the operator says.
    /// @param confirmedAt The block's time.
    event JobConfirmed(
        bytes32 indexed jobKey,
        uint64 indexed sequence,
        bytes32 resultDigest,
        uint8 status,
        uint64 completedAt,
        uint64 confirmedAt
    );
    /// @notice The confirmation just told carries its tenant's signature.
    /// @param jobKey The job.
    /// @param tenant Who attested its result.
    event JobAttested(bytes32 indexed jobKey, address indexed tenant);
    /// @notice A batch was committed: `count` jobs from `firstSequence` on.
    /// @param firstSequence The number of the first job.
    /// @param count How many numbers the batch took.
    /// @param root The root of the tree over its leaves.
    /// @param committedAt The block's time.
    event RootCommitted(uint64 indexed firstSequence, uint32 count, bytes32 root, uint64 committedAt);
    /// @notice A leaf of a committed batch was stored under its job key.
    /// @param jobKey The job.
    /// @param sequence The number that it has had since its batch was committed.
    /// @param resultDigest The salted hash of its result.
    /// @param usageDigest The salted hash of the usage that was billed.
    /// @param status 1 for success, 2 for failure.
    event JobMaterialised(
        bytes32 indexed jobKey, uint64 indexed sequence, bytes32 resultDigest, bytes32 usageDigest, uint8 status
    );

    /// @notice The batch does not begin where the last confirmation ended.
    error UnexpectedSequence(uint64 expected, uint64 provided);
    /// @notice A batch holds at least one job.
    error EmptyBatch();
    /// @notice A batch holds at most `max` jobs.
    error BatchTooLarge(uint256 count, uint256 max);
    /// @notice The root is zero, which would read as "no batch".
    error ZeroRoot();
    /// @notice An account that must be somebody is the zero address.
    error ZeroAddress();
    /// @notice The job key is zero, which is nobody's.
    error ZeroJobKey();
    /// @notice The status is neither success nor failure.
    error InvalidStatus(uint8 status);
    /// @notice The job ends after the block that confirms it.
    error CompletedInFuture(uint64 completedAt, uint256 blockTime);
    /// @notice The job key is stored already, by whichever way.
    error JobAlreadyStored(bytes32 jobKey);
    /// @notice The tenant's address is not in the register.
    error UnknownTenant(address tenant);
    /// @notice The attestation was good until `deadline`.
    error AttestationExpired(uint256 deadline);
    /// @notice The signature is not the tenant's for this result, contract and chain, or not in its one canonical form.
    error InvalidAttestation(address tenant);
    /// @notice No batch begins with this number.
    error UnknownBatch(uint64 firstSequence);
    /// @notice The leaf's number lies before its batch or is not taken yet.
    error SequenceOutsideBatch(uint64 firstSequence, uint64 sequence);
    /// @notice The proof does not lead from the leaf to the batch's root.
    error InvalidProof(uint64 firstSequence, uint64 sequence);

    /// @notice The number that the next confirmation takes.
    uint64 public nextSequence = 1;

    /// @dev One slot a batch, keyed by its first number; zero means that none begins there.
    mapping(uint64 firstSequence => bytes32 root) private _roots;

    /// @dev One slot a stored job: `recordHash` of its confirmation or, when materialised, its `leafHash`. A record's hash
    /// is over seven words, a leaf's last one over one word: neither can pass for the other. Zero means not stored.
    mapping(bytes32 jobKey => bytes32 hash) private _records;

    /// @param adminDelay Seconds between the two steps of handing the admin role on.
    /// @param admin Manages roles and the register of tenants; meant to be a multi-signature wallet.
    /// @param operator Confirms jobs and commits batches.
    /// @param pauser Pauses and resumes.
    constructor(uint48 adminDelay, address admin, address operator, address pauser)
        AccessControlDefaultAdminRules(adminDelay, admin)
        EIP712("ZamaJobRegistry", "1")
    {
        if (operator == address(0) || pauser == address(0)) revert ZeroAddress();
        _grantRole(OPERATOR_ROLE, operator);
        _grantRole(PAUSER_ROLE, pauser);
    }

    /// @notice Confirm one job on the operator's word.
    /// @param jobKey The job; not zero, not stored yet.
    /// @param resultDigest The salted hash of its result.
    /// @param status 1 for success, 2 for failure.
    /// @param completedAt When the job ended, in Unix seconds; not after the block's time.
    /// @return sequence The number that the job took.
    function confirmJob(bytes32 jobKey, bytes32 resultDigest, uint8 status, uint64 completedAt)
        external
        onlyRole(OPERATOR_ROLE)
        whenNotPaused
        returns (uint64 sequence)
    {
        sequence = nextSequence;
        nextSequence = sequence + 1;
        _confirm(sequence, jobKey, address(0), resultDigest, status, completedAt);
    }

    /// @notice Confirm one job with its tenant's signature over the result.
    /// @dev No nonce: a job key is stored once, so a signature is used once. It binds chain and contract by its domain.
    /// A tenant may be a contract that answers ERC-1271; only registered ones are asked, and only to read.
    /// @param jobKey The job; not zero, not stored yet.
    /// @param tenant Who signed; in the register of tenants.
    /// @param resultDigest The salted hash of its result.
    /// @param status 1 for success, 2 for failure.
    /// @param completedAt When the job ended, in Unix seconds; not after the block's time.
    /// @param deadline The last second, in Unix time, in which the signature counts.
    /// @param signature 65 bytes r, s, v with the lower s and v 27 or 28, or what the tenant's contract accepts.
    /// @return sequence The number that the job took.
    function confirmJobAttested(
        bytes32 jobKey,
        address tenant,
        bytes32 resultDigest,
        uint8 status,
        uint64 completedAt,
        uint256 deadline,
        bytes calldata signature
    ) external onlyRole(OPERATOR_ROLE) whenNotPaused returns (uint64 sequence) {
        if (tenant == address(0)) revert ZeroAddress();
        if (!hasRole(TENANT_ROLE, tenant)) revert UnknownTenant(tenant);
        // A deadline is a time; a block's producer may bend it by seconds, deadlines are minutes.
        // slither-disable-next-line timestamp
        if (block.timestamp > deadline) revert AttestationExpired(deadline);
        bytes32 digest = attestationDigest(jobKey, tenant, resultDigest, status, completedAt, deadline);
        if (!SignatureChecker.isValidSignatureNowCalldata(tenant, digest, signature)) revert InvalidAttestation(tenant);
        sequence = nextSequence;
        nextSequence = sequence + 1;
        _confirm(sequence, jobKey, tenant, resultDigest, status, completedAt);
        emit JobAttested(jobKey, tenant);
    }

    /// @notice Confirm up to `MAX_RECORDS` jobs on the operator's word: all of them or none.
    /// @param records The jobs, each checked as `confirmJob` checks one.
    /// @return firstSequence The number that the first of them took; the others follow in order.
    function confirmJobBatch(Record[] calldata records)
        external
        onlyRole(OPERATOR_ROLE)
        whenNotPaused
        returns (uint64 firstSequence)
    {
        uint256 count = records.length;
        if (count == 0) revert EmptyBatch();
        if (count > MAX_RECORDS) revert BatchTooLarge(count, MAX_RECORDS);
        firstSequence = nextSequence;
        // Both casts are of numbers up to MAX_RECORDS.
        nextSequence = firstSequence + uint64(count);
        for (uint256 i = 0; i < count; ++i) {
            Record calldata record = records[i];
            _confirm(
                firstSequence + uint64(i), record.jobKey, address(0), record.resultDigest, record.status, record.completedAt
            );
        }
    }

    /// @notice Commit the outcomes of `count` jobs, numbered from `firstSequence` on, by the root of their tree.
    /// @param firstSequence Must equal `nextSequence`.
    /// @param count How many leaves the tree has, 1 to `MAX_BATCH`.
    /// @param root Root of an OpenZeppelin StandardMerkleTree over the leaves.
    function commitRoot(uint64 firstSequence, uint32 count, bytes32 root) external onlyRole(OPERATOR_ROLE) whenNotPaused {
        uint64 expected = nextSequence;
        if (firstSequence != expected) revert UnexpectedSequence(expected, firstSequence);
        if (count == 0) revert EmptyBatch();
        if (count > MAX_BATCH) revert BatchTooLarge(count, MAX_BATCH);
        if (root == bytes32(0)) revert ZeroRoot();
        _roots[firstSequence] = root;
        nextSequence = expected + count;
        emit RootCommitted(firstSequence, count, root, uint64(block.timestamp));
    }

    /// @notice Store a leaf of a committed batch under its job key, so that other contracts can ask for it.
    /// @dev Anyone may: the proof is the authority, and the number is taken already. Of two leaves for one job, which
    /// only a faulty operator can anchor, one at most gets here.
    /// @param firstSequence The batch.
    /// @param leaf The outcome; its job key is not zero and not stored yet.
    /// @param proof Siblings from the leaf up to the root.
    function materialise(uint64 firstSequence, Leaf calldata leaf, bytes32[] calldata proof) external whenNotPaused {
        bytes32 root = _roots[firstSequence];
        if (root == bytes32(0)) revert UnknownBatch(firstSequence);
        if (!_mayHold(firstSequence, leaf.sequence)) revert SequenceOutsideBatch(firstSequence, leaf.sequence);
        bytes32 hash = leafHash(leaf);
        if (!MerkleProof.verifyCalldata(proof, root, hash)) revert InvalidProof(firstSequence, leaf.sequence);
        _store(leaf.jobKey, leaf.status, hash);
        emit JobMaterialised(leaf.jobKey, leaf.sequence, leaf.resultDigest, leaf.usageDigest, leaf.status);
    }

    /// @notice Hold confirmations back, by every way.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Let confirmations go on.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
    }

    /// @notice The root of the batch that begins with a number; zero when none does.
    /// @param firstSequence The batch.
    /// @return The root.
    function rootOf(uint64 firstSequence) external view returns (bytes32) {
        return _roots[firstSequence];
    }

    /// @notice The hash stored for a job: its `recordHash`, or its `leafHash` when it was materialised; zero when none is.
    /// @param jobKey The job.
    /// @return The hash.
    function recordOf(bytes32 jobKey) external view returns (bytes32) {
        return _records[jobKey];
    }

    /// @notice Whether a job is stored. One that is only a leaf of a batch is not, until it is materialised.
    /// @param jobKey The job.
    /// @return Whether anything is stored for it.
    function isConfirmed(bytes32 jobKey) external view returns (bool) {
        // A block's time is part of what is hashed; whether a hash is there does not depend on its value.
        // slither-disable-next-line timestamp
        return _records[jobKey] != bytes32(0);
    }

    /// @notice Whether exactly this confirmation is stored for its job.
    /// @param confirmation What the events of the confirmation told.
    /// @return Whether it is what was confirmed.
    function verifyRecord(Confirmation calldata confirmation) external view returns (bool) {
        // Equality of hashes is what is asked: nobody can push a stored hash, as they could a balance, past another.
        // slither-disable-next-line incorrect-equality,timestamp
        return _records[confirmation.jobKey] == recordHash(confirmation);
    }

    /// @notice Whether a leaf is in the batch that begins with `firstSequence`.
    /// @param firstSequence The batch.
    /// @param leaf The outcome to look for; its number must not lie before the batch or beyond what is committed.
    /// @param proof Siblings from the leaf up to the root.
    /// @return Whether the proof holds.
    function verify(uint64 firstSequence, Leaf calldata leaf, bytes32[] calldata proof) external view returns (bool) {
        bytes32 root = _roots[firstSequence];
        if (root == bytes32(0) || !_mayHold(firstSequence, leaf.sequence)) return false;
        return MerkleProof.verifyCalldata(proof, root, leafHash(leaf));
    }

    /// @notice What a tenant signs to attest a result, for this contract on this chain.
    /// @param jobKey The job.
    /// @param tenant Who signs.
    /// @param resultDigest The salted hash of the job's result.
    /// @param status 1 for success, 2 for failure.
    /// @param completedAt When the job ended, in Unix seconds.
    /// @param deadline The last second, in Unix time, in which the signature counts.
    /// @return The EIP-712 digest.
    function attestationDigest(
        bytes32 jobKey,
        address tenant,
        bytes32 resultDigest,
        uint8 status,
        uint64 completedAt,
        uint256 deadline
    ) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(abi.encode(JOB_RESULT_TYPEHASH, jobKey, tenant, resultDigest, status, completedAt, deadline))
        );
    }

    /// @notice The hash that is stored for a confirmation.
    /// @param confirmation All that was confirmed.
    /// @return keccak256 of its seven words.
    function recordHash(Confirmation calldata confirmation) public pure returns (bytes32) {
        return keccak256(abi.encode(confirmation));
    }

    /// @notice The hash of a leaf, hashed twice as StandardMerkleTree does, so that no inner node can pass for one.
    /// @param leaf The outcome of a job.
    /// @return The hash that stands in the tree.
    function leafHash(Leaf calldata leaf) public pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                keccak256(
                    abi.encode(leaf.sequence, leaf.jobKey, leaf.resultDigest, leaf.usageDigest, leaf.status)
                )
            )
        );
    }

    /// @dev Store and tell one confirmation under a number that its caller took from the counter.
    function _confirm(
        uint64 sequence,
        bytes32 jobKey,
        address tenant,
        bytes32 resultDigest,
        uint8 status,
        uint64 completedAt
    ) private {
        // The claim is checked only for being possible; a block's producer gains nothing by bending its time.
        // slither-disable-next-line timestamp
        if (completedAt > block.timestamp) revert CompletedInFuture(completedAt, block.timestamp);
        uint64 confirmedAt = uint64(block.timestamp);
        // The seven words of `recordHash`, without the copy of a struct that would cost each job 350 gas.
        bytes32 hash = keccak256(abi.encode(sequence, jobKey, tenant, resultDigest, status, completedAt, confirmedAt));
        _store(jobKey, status, hash);
        emit JobConfirmed(jobKey, sequence, resultDigest, status, completedAt, confirmedAt);
    }

    /// @dev The one place that writes a record: a job key is stored at most once, whichever way led here.
    function _store(bytes32 jobKey, uint8 status, bytes32 hash) private {
        if (jobKey == bytes32(0)) revert ZeroJobKey();
        if (status != STATUS_SUCCESS && status != STATUS_FAILURE) revert InvalidStatus(status);
        // As in `isConfirmed`: the time that was hashed decides nothing here.
        // slither-disable-next-line timestamp
        if (_records[jobKey] != bytes32(0)) revert JobAlreadyStored(jobKey);
        _records[jobKey] = hash;
    }

    /// @dev Whether a leaf's number can belong to a batch. Its end is not stored (that would cost a second slot a batch):
    /// whoever reads the event `RootCommitted` checks it against `count`.
    function _mayHold(uint64 firstSequence, uint64 sequence) private view returns (bool) {
        return sequence >= firstSequence && sequence < nextSequence;
    }
}
