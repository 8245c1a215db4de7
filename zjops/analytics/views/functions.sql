-- Job ids as people write them, job_ and base58 (R7), from the 16 bytes that the log holds, and back again.
-- The list holds the powers of 58 from the 21st down: 22 digits are enough for 128 bits.
CREATE OR REPLACE MACRO base58_powers() AS [
    10764351351569111513009094806216900608::UHUGEINT, 185592264682226060569122324245118976::UHUGEINT,
    3199866632452173458088315935260672::UHUGEINT, 55170114352623680311867516125184::UHUGEINT,
    951208868148684143308060622848::UHUGEINT, 16400152899115243850138976256::UHUGEINT,
    282761256881297307761016832::UHUGEINT, 4875194084160298409672704::UHUGEINT,
    84055070416556869132288::UHUGEINT, 1449225352009601191936::UHUGEINT,
    24986644000165537792::UHUGEINT, 430804206899405824::UHUGEINT, 7427658739644928::UHUGEINT,
    128063081718016::UHUGEINT, 2207984167552::UHUGEINT, 38068692544::UHUGEINT, 656356768::UHUGEINT,
    11316496::UHUGEINT, 195112::UHUGEINT, 3364::UHUGEINT, 58::UHUGEINT, 1::UHUGEINT
];
CREATE OR REPLACE MACRO base58_alphabet() AS '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
CREATE OR REPLACE MACRO job_text(key) AS
    'job_' || repeat('1', length(regexp_extract(hex(key), '^(00)*')) // 2) || ltrim(list_aggregate(list_transform(
        base58_powers(), lambda power: base58_alphabet()[((('0x' || hex(key))::UHUGEINT // power) % 58)::INTEGER + 1]
    ), 'string_agg', ''), '1');
CREATE OR REPLACE MACRO job_key(text) AS list_reduce(list_transform(
    range(1, length(text) - 3),
    lambda i: (instr(base58_alphabet(), text[4 + i]) - 1)::UHUGEINT * base58_powers()[22 - length(text) + 4 + i]
), lambda a, b: a + b)::UUID::BLOB;
