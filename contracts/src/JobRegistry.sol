// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {AccessControlDefaultAdminRules} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

/// @title JobRegistry
/// @notice Records the outcomes of jobs as Merkle roots, under one dense counter of sequence numbers.
/// @dev Trust: the operator decides what is in a batch. Nobody can change, reorder or remove what was committed, and
/// each sequence number is committed once and in order. That one job is not committed twice under two numbers cannot be
/// seen by a contract that stores only roots; whoever holds the leaves can see it, and the platform's audit does.
contract JobRegistry is AccessControlDefaultAdminRules, Pausable, EIP712 {
    /// @notice Who may commit batches.
    bytes32 public constant OPERATOR_ROLE = keccak256("OPERATOR_ROLE");
    /// @notice Who may hold commits back and let them go on.
    bytes32 public constant PAUSER_ROLE = keccak256("PAUSER_ROLE");
    /// @notice The most jobs that one batch may stand for.
    uint32 public constant MAX_BATCH = 10_000;

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

    /// @notice A batch was committed: `count` jobs from `firstSequence` on.
    event RootCommitted(uint64 indexed firstSequence, uint32 count, bytes32 root, uint64 committedAt);

    /// @notice The batch does not begin where the last one ended.
    error UnexpectedSequence(uint64 expected, uint64 provided);
    /// @notice A batch holds at least one job.
    error EmptyBatch();
    /// @notice A batch holds at most `max` jobs.
    error BatchTooLarge(uint32 count, uint32 max);
    /// @notice The root is zero, which would read as "no batch".
    error ZeroRoot();
    /// @notice A role was given to the zero address.
    error ZeroAddress();

    /// @notice The number that the next batch must begin with.
    uint64 public nextSequence = 1;

    /// @dev One slot a batch, keyed by its first number; zero means that none begins there.
    mapping(uint64 firstSequence => bytes32 root) private _roots;

    /// @param adminDelay Seconds between the two steps of handing the admin role on.
    /// @param admin Manages roles.
    /// @param operator Commits batches.
    /// @param pauser Pauses and resumes.
    constructor(uint48 adminDelay, address admin, address operator, address pauser)
        AccessControlDefaultAdminRules(adminDelay, admin)
        EIP712("ZamaJobRegistry", "1")
    {
        if (operator == address(0) || pauser == address(0)) revert ZeroAddress();
        _grantRole(OPERATOR_ROLE, operator);
        _grantRole(PAUSER_ROLE, pauser);
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

    /// @notice Hold commits back.
    function pause() external onlyRole(PAUSER_ROLE) {
        _pause();
    }

    /// @notice Let commits go on.
    function unpause() external onlyRole(PAUSER_ROLE) {
        _unpause();
    }

    /// @notice The root of the batch that begins with a number; zero when none does.
    function rootOf(uint64 firstSequence) external view returns (bytes32) {
        return _roots[firstSequence];
    }

    /// @notice The hash of a leaf, hashed twice as StandardMerkleTree does, so that no inner node can pass for one.
    function leafHash(Leaf calldata leaf) public pure returns (bytes32) {
        return keccak256(
            bytes.concat(
                keccak256(
                    abi.encode(leaf.sequence, leaf.jobKey, leaf.resultDigest, leaf.usageDigest, leaf.status)
                )
            )
        );
    }

    /// @notice Whether a leaf is in the batch that begins with `firstSequence`.
    /// @param firstSequence The batch.
    /// @param leaf The outcome to look for; its number must not lie before the batch or beyond what is committed.
    /// @param proof Siblings from the leaf up to the root.
    function verify(uint64 firstSequence, Leaf calldata leaf, bytes32[] calldata proof) external view returns (bool) {
        bytes32 root = _roots[firstSequence];
        if (root == bytes32(0) || leaf.sequence < firstSequence || leaf.sequence >= nextSequence) return false;
        return MerkleProof.verifyCalldata(proof, root, leafHash(leaf));
    }
}
