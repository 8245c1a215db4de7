# %% [markdown]
# # Gas and batching
#
# What batching saved in this log, where it did not, and what another window would have done. Every outcome is confirmed
# on chain. One transaction holds the root of a whole batch and costs about the same whatever the batch holds, so the
# gas of a job is a matter of how many share a batch: of how quickly jobs come, and of how long a batch is kept open for
# them. Waiting is the price.
#
# `zjops gas` measures every way of confirming on an EVM; its figures for the design's own contract stand beside these.

# %% tags=["parameters"]
import os

from zjops.analytics.notebook import small_log

LOG = os.environ.get("ZJOPS_LOG") or small_log()  # the folder of a log; without one a small synthetic one is played
WINDOWS_S = (1, 5, 15, 60, 300, 600, 1_800)  # seconds that a batch is kept open, to be compared
PNG = None  # a folder into which every chart is written as PNG, too

# %%
from bisect import bisect_right
from fractions import Fraction
from pathlib import Path

import altair as alt
import duckdb
import polars as pl

from zjops.analytics.cost import cost_book, gas_microusd
from zjops.analytics.figures import MICROUSD, NANOUSD, half_up, shown
from zjops.analytics.frames import frames
from zjops.analytics.notebook import drawing, open_log, percent, reach, say, table
from zjops.analytics.viewfile import views_sql
from zjops.domain.batches import BATCH_MOST, MONTH_S, jobs_per_batch
from zjops.domain.synthetic import synthetic_part

draw = drawing(PNG)
log, costs, logs = open_log(LOG), cost_book(), frames(Path(LOG))
db = duckdb.connect()
db.execute(views_sql(Path(LOG)))
decades = [10**power for power in range(9)]  # where logarithmic axes have their lines


def ask(text, **given):
    """The rows of a SELECT over the log's views, as a frame."""
    return pl.DataFrame(db.sql(text, params=given or None))


# %% [markdown]
# ## What was confirmed

# %%
batches = ask("FROM batches ORDER BY batch_id")
assert batches.height, "the log holds no batch that is final"
jobs, gas = batches["jobs"].sum(), batches["gas_used"].sum()
same = logs.batches.sort("batch_id").collect()
assert same.select("batch_id", "jobs", "gas_used").equals(batches.select("batch_id", "jobs", "gas_used"))

# Numbers on chain follow each other without a gap, within a batch and from one to the next.
assert (batches["last_sequence"] - batches["first_sequence"] + 1 == batches["jobs"]).all()
assert (batches["first_sequence"][1:] == batches["last_sequence"][:-1] + 1).all()

shares = ask(
    "SELECT batch_id, max(gas_share) - min(gas_share) AS apart FROM events_once WHERE type = 'confirmed' GROUP BY 1"
)
assert shares["apart"].max() <= 1, "a batch's gas is shared out evenly, to the unit"

gas_price, coin = costs.inputs.gas_price_wei, costs.inputs.coin_microusd
each = Fraction(gas, jobs)
say(
    f"**{jobs:,} jobs in {batches.height:,} batches used {gas:,} gas**, {float(each):,.0f} a job: "
    f"{shown(half_up(gas_microusd(each, costs.inputs) * 1000), NANOUSD)} at {gas_price / 10**9:g} gwei and "
    f"{shown(coin, MICROUSD)} a coin. {reach(log)}",
    "SQL and Polars agree on every batch; the jobs' shares of gas add up to the receipts, and the numbers on chain run "
    "without a gap.",
    f"A synthetic log's chain is a stand-in in memory that takes {batches['gas_used'][0]:,} gas for every batch alike: "
    f"what follows is a matter of how jobs gather in batches. On an EVM a root takes about "
    f"{costs.inputs.gas_per_batch:,} (`zjops gas`)."
    if synthetic_part(Path(LOG)) is not None and batches["gas_used"].n_unique() == 1
    else "",
)

# %% [markdown]
# ## What batching saved
#
# Beside what confirming costs in other ways: by the design's contract one by one and in its batches of 100, which still
# write a record for every job, and in roots that are full.

# %%
design = costs.design
ways = [
    ("the design, one by one", Fraction(design.single_gas)),
    (f"the design, batches of {design.batch_jobs}", Fraction(design.batch_gas, design.batch_jobs)),
    ("**this log**", each),
    (f"roots of {BATCH_MOST:,}, all full", Fraction(costs.inputs.gas_per_batch, BATCH_MOST)),
]
compared = [
    {
        "way": name,
        "gas a job": f"{float(one):,.1f}",
        "a job": shown(half_up(gas_microusd(one, costs.inputs) * 1000), NANOUSD),
        "saved": percent(float(1 - one / design.single_gas), 2),
    }
    for name, one in ways
]
assert [one for _, one in ways] == sorted((one for _, one in ways), reverse=True), (
    "each way is cheaper than the one above"
)
table(compared)

# %%
saved = 1 - each / design.single_gas
assert (saved >= Fraction(design.gas_saving_percent, 100)) is (
    each <= design.single_gas * Fraction(100 - design.gas_saving_percent, 100)
)
say(
    f"Batching saved **{percent(float(saved), 2)}** of what the design's single confirmations cost; its overview "
    f"promised {design.gas_saving_percent} %. A batch's transaction is paid once: the number of jobs in it is all that "
    "matters."
)

# %% [markdown]
# ## Where the gas goes
#
# A batch of one job pays as much as one of a thousand. Each pair of bars is of the batches of one size: the share of
# all jobs that they hold, and the share of all gas that they took.

# %%
bands = [(1, 1), (2, 5), (6, 20), (21, 100), (101, BATCH_MOST)]
sizes = pl.DataFrame(
    [
        {
            "size": f"{low:,}" if low == high else f"{low:,} to {high:,}",
            "order": order,
            "batches": of.height,
            "jobs": of["jobs"].sum(),
            "gas": of["gas_used"].sum(),
        }
        for order, (low, high) in enumerate(bands)
        for of in [batches.filter(pl.col("jobs").is_between(low, high))]
    ]
)
assert sizes["batches"].sum() == batches.height
assert sizes["jobs"].sum() == jobs
assert sizes["gas"].sum() == gas

halves = sizes.unpivot(["jobs", "gas"], index=["size", "order"], variable_name="of", value_name="amount").with_columns(
    pl.when(pl.col("of") == "jobs").then(pl.col("amount") / jobs).otherwise(pl.col("amount") / gas).alias("share")
)
draw(
    alt.Chart(
        halves, title=alt.Title("Jobs and gas by the size of the batch", subtitle="share of all jobs, share of all gas")
    )
    .mark_bar()
    .encode(
        alt.X("size:N", title="jobs in the batch", sort=alt.SortField("order"), axis=alt.Axis(labelAngle=0)),
        alt.Y("share:Q", title="share of all", axis=alt.Axis(format="%")),
        alt.XOffset("of:N", sort=["jobs", "gas"]),
        alt.Color("of:N", title="share of", sort=["jobs", "gas"]),
    ),
    "jobs-and-gas-by-size",
)

# %%
small, large = sizes.filter(pl.col("order") <= 1), sizes.filter(pl.col("order") >= 3)
say(
    f"Batches of up to 5 jobs are {percent(small['batches'].sum() / batches.height)} of all batches. They carry "
    f"{percent(small['jobs'].sum() / jobs)} of the jobs and take **{percent(small['gas'].sum() / gas)} of the gas**; "
    f"batches of more than 20 carry {percent(large['jobs'].sum() / jobs)} of the jobs for "
    f"{percent(large['gas'].sum() / gas)} of it."
)

# %% [markdown]
# ## When it is dear
#
# Gas of a job by the hour in which it was confirmed, over all days. Where few jobs come, each pays more.

# %%
by_hour = ask(
    "SELECT hour(confirmed_at) AS hour, count(*) AS jobs, sum(gas_share)::BIGINT AS gas FROM jobs "
    "WHERE batch_id IS NOT NULL GROUP BY 1 ORDER BY 1"
).with_columns((pl.col("gas") / pl.col("jobs")).alias("gas_a_job"))
assert (by_hour["jobs"].sum(), by_hour["gas"].sum()) == (jobs, gas)

base = alt.Chart(by_hour).encode(alt.X("hour:O", title="hour of confirmation, UTC", axis=alt.Axis(labelAngle=0)))
price = (
    base.mark_bar()
    .encode(alt.Y("gas_a_job:Q", title="gas a job", axis=alt.Axis(format=",d", tickCount=5)))
    .properties(height=150, title=alt.Title("Gas of a job by hour", subtitle="and the jobs confirmed in that hour"))
)
count = (
    base.mark_bar(color="#e69f00")
    .encode(alt.Y("jobs:Q", title="jobs", axis=alt.Axis(tickCount=4)))
    .properties(height=90)
)
draw(alt.vconcat(price, count), "gas-by-hour")

# %%
dear, cheap = by_hour.sort("gas_a_job").row(-1, named=True), by_hour.sort("gas_a_job").row(0, named=True)
say(
    f"Dearest is {dear['hour']:02d} h with {dear['gas_a_job']:,.0f} gas for each of {dear['jobs']:,} jobs, cheapest "
    f"{cheap['hour']:02d} h with {cheap['gas_a_job']:,.0f} for each of {cheap['jobs']:,}."
    if by_hour.height > 1
    else "All were confirmed within one hour of the day."
)

# %% [markdown]
# ## What another window would have done
#
# The log says when each job ended, and so what any other window would have made of the same jobs: a batch opens with
# the first job that waits, and closes when it is as old as the window or holds 1,000 jobs. Waiting for finality itself
# comes on top and is the same for all.

# %%
ended = ask("SELECT epoch_ms(ended_at)::BIGINT AS ended_ms FROM jobs WHERE batch_id IS NOT NULL ORDER BY 1")[
    "ended_ms"
].to_list()
gas_per_batch = Fraction(gas, batches.height)


def replay(window_s):
    """Batches of a window: how many, and the mean and the longest wait of a job for its batch to close, in s."""
    at, count, waited_ms, longest_ms = 0, 0, 0, 0
    while at < len(ended):
        behind = min(bisect_right(ended, ended[at] + window_s * 1000), at + BATCH_MOST)
        full = behind == at + BATCH_MOST
        closed = ended[behind - 1] if full else ended[at] + window_s * 1000
        waited_ms += sum(closed - one for one in ended[at:behind])
        longest_ms = max(longest_ms, closed - ended[at])
        at, count = behind, count + 1
    return count, waited_ms / len(ended) / 1000, longest_ms / 1000


span_s = Fraction(ended[-1] - ended[0], 1000)
monthly = half_up(jobs * MONTH_S / span_s)
replayed = [
    {
        "window_s": window,
        "batches": count,
        "jobs_a_batch": jobs / count,
        "by_formula": float(jobs_per_batch(monthly, window)),
        "gas_a_job": float(gas_per_batch * count / jobs),
        "wait_s": wait,
    }
    for window in WINDOWS_S
    for count, wait, _ in [replay(window)]
]
counts = [row["batches"] for row in replayed]
assert counts == sorted(counts, reverse=True), "a longer window never makes more batches"
assert replay(0)[0] == len(set(ended)), "without a window only jobs that end together share a batch"
table(
    [
        {
            "window": f"{row['window_s']:,} s",
            "batches": row["batches"],
            "jobs a batch": f"{row['jobs_a_batch']:.1f}",
            "by the formula": f"{row['by_formula']:.1f}",
            "gas a job": f"{row['gas_a_job']:,.0f}",
            "a job": shown(half_up(gas_microusd(gas_per_batch * row["batches"] / jobs, costs.inputs) * 1000), NANOUSD),
            "mean wait": f"{row['wait_s']:,.1f} s",
        }
        for row in replayed
    ]
)

# %%
curve = pl.DataFrame(replayed)
line = (
    alt.Chart(curve, title=alt.Title("What waiting buys", subtitle="the same jobs, with other batch windows"))
    .mark_line(point=alt.OverlayMarkDef(size=70, filled=True))
    .encode(
        alt.X(
            "wait_s:Q",
            title="mean wait for the batch to close, s (logarithmic)",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(values=[0.1, 1, 10, 100, 1000], format="~g"),
        ),
        alt.Y("gas_a_job:Q", title="gas a job", axis=alt.Axis(format=",d", tickCount=6)),
        order="window_s:Q",
    )
)
names = alt.Chart(curve.with_columns(pl.format("{} s", "window_s").alias("name")))
draw(
    line + names.mark_text(align="left", dx=7, dy=-7).encode(x="wait_s:Q", y="gas_a_job:Q", text="name:N"),
    "what-waiting-buys",
)

# %%
(log_window,) = log.ask(
    "SELECT max(open_ms) AS open_ms FROM (SELECT max(epoch_ms(ended_at)) - min(epoch_ms(ended_at)) AS open_ms FROM "
    "jobs WHERE batch_id IS NOT NULL GROUP BY batch_id)"
)
open_s = log_window["open_ms"] / 1000
first, last = replayed[0], replayed[-1]
bursty = all(row["jobs_a_batch"] > row["by_formula"] for row in (first, last))
say(
    f"The jobs of one batch ended at most {open_s:,.0f} s apart, so that batches were open at least that long. From "
    f"{first['window_s']} s to {last['window_s']:,} s the gas of a job falls from {first['gas_a_job']:,.0f} to "
    f"{last['gas_a_job']:,.0f}, and the mean wait grows from {first['wait_s']:.1f} s to {last['wait_s']:,.0f} s.",
    "The formula of `zjops cost` takes jobs to come one by one at random. "
    + (
        f"Here they come in bulk, so that a window of {first['window_s']} s holds {first['jobs_a_batch']:.1f} jobs "
        f"where the formula has {first['by_formula']:.2f}, and one of {last['window_s']:,} s "
        f"{last['jobs_a_batch']:.1f} where it has {last['by_formula']:.2f}: **the formula overstates the gas of bursty "
        "traffic**."
        if bursty
        else f"Here a window of {first['window_s']} s holds {first['jobs_a_batch']:.2f} jobs, and the formula has "
        f"{first['by_formula']:.2f}."
    ),
)

# %% [markdown]
# ## How long finality takes
#
# From the end of a job to its finality: first it waits for its batch to close, then for the chain. The objective is 60
# s for 99 % of jobs.

# %%
waits = ask("SELECT date_diff('ms', ended_at, confirmed_at) AS ms FROM jobs WHERE batch_id IS NOT NULL ORDER BY 1")[
    "ms"
]
assert waits.len() == jobs
assert waits.min() > 0, "nothing is final before it has ended"
steps = pl.DataFrame({"share": [step / 200 for step in range(201)]}).with_columns(
    pl.col("share").map_elements(lambda share: waits.quantile(share, "nearest") / 1000, pl.Float64).alias("seconds")
)
line = (
    alt.Chart(
        steps,
        title=alt.Title(
            "From a job's end to its finality", subtitle="share of jobs that are final by then; dashed: 60 s"
        ),
    )
    .mark_line(interpolate="step-after")
    .encode(
        alt.X("seconds:Q", title="seconds after the end of the job"),
        alt.Y("share:Q", title="share of jobs", axis=alt.Axis(format="%")),
    )
)
rule = alt.Chart(pl.DataFrame({"seconds": [60]})).mark_rule(strokeDash=[4, 3]).encode(x="seconds:Q")
draw(line + rule, "time-to-finality")

# %%
within = (waits <= 60_000).sum()
held = ask(
    "SELECT count(*) FILTER (last - ended_at > INTERVAL 60 SECOND) AS jobs FROM "
    "(SELECT ended_at, max(ended_at) OVER (PARTITION BY batch_id) AS last FROM jobs WHERE batch_id IS NOT NULL)"
).item()
assert held + within <= jobs, "whoever waited that long for its batch was not final by then"
middle, late = waits.quantile(0.5, "nearest") / 1000, waits.quantile(0.99, "nearest") / 1000
say(
    f"Half of the jobs are final {middle:,.0f} s after their end, 99 % within {late:,.0f} s; "
    f"**{percent(within / jobs, 1)}** are within 60 s. "
    + (
        "The objective is met."
        if within >= 0.99 * jobs
        else f"{percent(held / jobs)} of the jobs ended more than 60 s before the last of their own batch, so that "
        "with this window the objective cannot be met: window and objective have to be chosen together, and the table "
        "above says what a shorter window costs."
        if held > 0.01 * jobs
        else "The objective is missed, but not for the window: hardly a job waited that long for others of its batch."
    )
)
