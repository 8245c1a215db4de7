# %% [markdown]
# # Unit economics: what a job earns and what it costs
#
# What a job earns and costs on this log, what moves that, and which of the design's promises hold. Revenue comes from
# the invoices of a month. Cost is the design's bill of infrastructure, with its gas, work and rate of arrival measured
# in the log; every input can be set below. The design promised \$0.561 a job, chain included.
#
# `zjops cost` and `zjops whatif` compute the same at the command line.

# %% tags=["parameters"]
import os

from zjops.analytics.notebook import small_log

LOG = os.environ.get("ZJOPS_LOG") or small_log()  # the folder of a log; without one a small synthetic one is played
MONTH = None  # such as "2026-10", in UTC; None takes the newest month of the log
INPUTS = {}  # inputs of the cost model other than measured, such as {"gas_price_wei": 20_000_000_000}
PNG = None  # a folder into which every chart is written as PNG, too

# %%
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import altair as alt
import polars as pl

from zjops.analytics.basis import read_basis
from zjops.analytics.cost import asked, cost_book, cost_model, figures, plan_margins, rate_costs, total_line
from zjops.analytics.documents import part
from zjops.analytics.figures import MICROUSD, NANOUSD, half_up, shown
from zjops.analytics.issued import billing_dir, invoices_of
from zjops.analytics.notebook import PLAN_COLOURS, drawing, listed, open_log, percent, reach, say, table
from zjops.analytics.promises import promises
from zjops.analytics.whatif import NamedBook, changes, price
from zjops.domain.batches import MONTH_S
from zjops.domain.clock import month_bounds_ms, utc_month
from zjops.domain.invoices import dollars
from zjops.domain.plans import PriceBook, price_book

draw = drawing(PNG)
log, prices, costs = open_log(LOG), price_book(), cost_book()
watermark = log.watermark()
month = MONTH or utc_month(watermark)
plans = list(prices.plans)  # from the smallest to the largest
shades = alt.Scale(domain=plans, range=list(PLAN_COLOURS))
decades = [10.0**power for power in range(-6, 10)]  # where logarithmic axes have their lines

# %% [markdown]
# ## What was measured
#
# Gas is that of the receipts, shared out over the jobs of tenants; work is the time spent computing. A log that holds
# part of a month is taken to go on at the same rate, to a month of 30 days.

# %%
first_ms, after_ms = month_bounds_ms(month)
basis = read_basis(log, first_ms, after_ms)
read, invoices = invoices_of(log, billing_dir(Path(LOG)), month, prices, now_ms=watermark)
(span,) = log.ask(
    "SELECT min(accepted_at) AS first, max(accepted_at) AS last FROM events_once "
    "WHERE accepted_at >= $first_ms AND accepted_at < $after_ms",
    first_ms=first_ms,
    after_ms=after_ms,
)
covered_s = Fraction(span["last"] - span["first"], 1000)
jobs_per_month = half_up(basis.jobs_confirmed * MONTH_S / covered_s)

assert basis.jobs_charged == sum(invoice.jobs for invoice in invoices)
assert basis.units_charged == sum(invoice.units.total for invoice in invoices)

inputs = asked(costs.inputs, basis.inputs() | {"jobs_per_month": jobs_per_month} | INPUTS)
model = cost_model(costs, inputs, basis.gas_per_job)
say(
    f"{basis.jobs_confirmed:,} jobs were confirmed in {basis.batches:,} batches, accepted within "
    f"{float(covered_s) / 86_400:.1f} days of {month}. {reach(log)} At that rate a month "
    f"brings **{jobs_per_month:,} jobs**. A job took {inputs.work_ms:,} ms of computing and "
    f"{float(model.gas_per_job):,.0f} gas.",
    "**The log covers less than a day: what is said of a month below is no forecast.**" if covered_s < 86_400 else "",
)

# %% [markdown]
# ## What a unit earns
#
# A plan sells its units for less the more of them are used. What a tenant really pays for a unit is its invoice by its
# use, which is taken to go on at the rate of the log; the dashed line is the list price of overage on Starter and Pro.

# %%
paid = pl.DataFrame(
    [
        {"tenant": one.tenant, "plan": one.plan, "units": units, "per_1000": one.total_cents / 100 / units * 1000}
        for one in invoices
        for units in [one.units.total * float(MONTH_S / covered_s)]
        if units and one.total_cents > 0
    ],
    schema={"tenant": pl.String, "plan": pl.String, "units": pl.Float64, "per_1000": pl.Float64},
)
assert paid.height == sum(one.units.total > 0 and one.total_cents > 0 for one in invoices)
overage_line = prices.plans["pro"].overage_nanousd / 10**6

points = (
    alt.Chart(paid, title=alt.Title("The price of a unit, as paid", subtitle=f"a point a paying tenant, {month}"))
    .mark_point(filled=True, size=90, stroke="#444444", strokeWidth=0.6, opacity=1)
    .encode(
        alt.X(
            "units:Q",
            title="compute units a month, at the rate of the log (logarithmic)",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="~s", values=decades),
        ),
        alt.Y(
            "per_1000:Q",
            title="US dollars for 1,000 units (logarithmic)",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="$~g", values=decades),
        ),
        alt.Fill("plan:N", title="plan", scale=shades),
    )
)
line = alt.Chart(pl.DataFrame({"per_1000": [overage_line], "text": ["a unit of overage"]}))
rule = line.mark_rule(strokeDash=[4, 3]).encode(y="per_1000:Q")
name = line.mark_text(align="left", dy=-7).encode(x=alt.value(4), y="per_1000:Q", text="text:N")
draw(points + rule + name, "price-of-a-unit")

# %%
ratio = {
    plan.name: Fraction(plan.overage_nanousd * plan.compute_units, plan.fee_microusd * 1000)
    for plan in prices.plans.values()
    if plan.fee_microusd and plan.overage_allowed
}
offers = [
    {
        "plan": plan.name,
        "fee": dollars(plan.fee_microusd // 10_000),
        "included units": plan.compute_units,
        "a unit when all are used": shown(half_up(Fraction(plan.fee_microusd * 1000, plan.compute_units)), NANOUSD),
        "a unit of overage": shown(plan.overage_nanousd, NANOUSD),
        "overage / included": f"{float(ratio[plan.name]):.2f}",
    }
    for plan in prices.plans.values()
    if plan.name in ratio
]
table(offers)

# %%
cheaper = [name for name, share in ratio.items() if share < 1]
assert cheaper == [
    plan.name
    for plan in prices.plans.values()
    if plan.overage_allowed and plan.overage_nanousd * plan.compute_units < plan.fee_microusd * 1000
]
ordered = paid.sort("per_1000", "tenant").to_dicts()


# What 1,000 units cost on a tenant's terms when all that these include are used.
used_up = {
    usage.tenant: plan.fee_microusd / 1000 / plan.compute_units
    for usage in read.usage
    for plan in [usage.terms[-1].plan]
    if plan.compute_units
}
dearest = ordered[-1] if ordered else None
spread = (
    f"What is paid for 1,000 units goes from ${ordered[0]['per_1000']:,.4g} by {ordered[0]['tenant']} "
    f"({ordered[0]['plan']}) to ${dearest['per_1000']:,.4g} by {dearest['tenant']} ({dearest['plan']})"
    + (
        f", whose price would be ${used_up[dearest['tenant']]:,.4g} if it used all that it has: **the rest is paid for "
        "units that were not used**."
        if dearest["per_1000"] > used_up.get(dearest["tenant"], dearest["per_1000"])
        else "."
    )
    if len(ordered) > 1
    else "Too few tenants pay for a word on the spread."
)
say(
    f"**Overage is cheaper than the plan's own units on {listed(cheaper)}**: whoever needs more units than it has "
    "bought pays less for them by running over, as far as the cap on overage lets it, than for those of its plan."
    if cheaper
    else "On no plan is overage cheaper than the plan's own units.",
    spread,
)

# %% [markdown]
# ## What a job costs
#
# Each figure with its formula; the amounts are exact and rounded once.

# %%
rows = [{"figure": one.name, "amount": shown(one.amount, one.unit), "formula": one.formula} for one in figures(model)]
by_hand = (
    (
        Fraction(sum(line.here_microusd for line in model.lines if line.group != "chain" or "gas" not in line.line))
        + model.gas_per_job * jobs_per_month * inputs.gas_price_wei * inputs.coin_microusd / 10**18
    )
    * 1000
    / inputs.jobs_per_month
)
assert abs(by_hand - model.nanousd_per_job) <= 1, "the formula of the last row, without the program"
assert total_line(model).here_microusd == model.infrastructure_microusd + model.gas_microusd
table(rows)

# %%
groups = list(dict.fromkeys(line.group for line in model.lines))
parts = pl.DataFrame(
    [
        {"whose": whose, "group": group, "order": groups.index(group), "cents": microusd / inputs_jobs / 10_000}
        for whose, attribute, inputs_jobs in (
            ("the design, at 10,000 jobs a month", "design_microusd", costs.design.jobs_per_month),
            (f"here, at {inputs.jobs_per_month:,}", "here_microusd", inputs.jobs_per_month),
        )
        for group in groups
        for microusd in [sum(getattr(line, attribute) for line in model.lines if line.group == group)]
    ]
)
assert abs(parts.filter(pl.col("whose").str.starts_with("here"))["cents"].sum() - model.nanousd_per_job / 10**7) < 1e-5

draw(
    alt.Chart(parts, title=alt.Title("What a job's cost is made of", subtitle="infrastructure and gas, by group"))
    .mark_bar()
    .encode(
        alt.X("cents:Q", title="US cents a job"),
        alt.Y("whose:N", title=None, sort=None, axis=alt.Axis(labelLimit=260)),
        alt.Color("group:N", title="group", sort=groups),
        alt.Order("order:Q"),
    )
    .properties(height=110),
    "cost-of-a-job",
)

# %%
largest = max(model.lines, key=lambda line: line.here_microusd)
design_gas = sum(one.microusd for one in costs.lines if one.how == "gas") / sum(one.microusd for one in costs.lines)
say(
    f"A job costs **{shown(model.nanousd_per_job, NANOUSD)}** here, {shown(model.gas_nanousd_per_job, NANOUSD)} of "
    f"it gas. The largest line is *{largest.line}*, {percent(largest.here_microusd / model.microusd)} of "
    f"{shown(model.microusd, MICROUSD)} a month. In the design's own lines gas is {percent(design_gas)}: "
    "it confirmed every job by itself, here a batch shares one transaction."
)

# %% [markdown]
# ## Cost falls with the rate
#
# Little of the bill grows with the jobs, so the rate of arrival decides. The lines derive the gas of a job from the
# window of 5 s in which a batch is open, with jobs that come one by one at random. The diamond is the job of above,
# with the gas that was measured: jobs that come in bulk share a batch at any rate (see *Gas and batching*).

# %%
rates = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 10**6, 2 * 10**6, 5 * 10**6, 10**7]
curve = rate_costs(costs, inputs, rates)
assert all(one.cost_nanousd_per_job >= two.cost_nanousd_per_job for one, two in pairwise(curve))
promised = costs.design.cost_microusd_per_job / 10**6
long = pl.DataFrame(
    [
        {"rate": row.jobs_per_month, "of": name, "dollars": nanousd / 10**9}
        for row in curve
        for name, nanousd in (
            ("all", row.cost_nanousd_per_job),
            ("infrastructure", row.infrastructure_nanousd_per_job),
            ("gas", row.gas_nanousd_per_job),
        )
    ]
)
lines = (
    alt.Chart(long, title=alt.Title("The cost of a job by the rate of arrival", subtitle="both axes logarithmic"))
    .mark_line(point=True)
    .encode(
        alt.X("rate:Q", title="jobs a month", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s", values=decades)),
        alt.Y(
            "dollars:Q",
            title="US dollars a job",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="$~g", values=decades),
        ),
        alt.Color("of:N", title="cost of", sort=["all", "infrastructure", "gas"]),
    )
)
line = alt.Chart(pl.DataFrame({"dollars": [promised], "text": ["the design's promise"]}))
rule = line.mark_rule(strokeDash=[4, 3]).encode(y="dollars:Q")
name = line.mark_text(align="right", dy=-7).encode(x=alt.value(636), y="dollars:Q", text="text:N")
here = pl.DataFrame(
    {"rate": [inputs.jobs_per_month], "dollars": [model.nanousd_per_job / 10**9], "text": ["measured here"]}
)
point = (
    alt.Chart(here).mark_point(shape="diamond", filled=True, size=140, color="black").encode(x="rate:Q", y="dollars:Q")
)
mark = alt.Chart(here).mark_text(align="right", dx=-4, dy=14).encode(x="rate:Q", y="dollars:Q", text="text:N")
draw(lines + rule + name + point + mark, "cost-by-rate")

# %%
enough = next((row.jobs_per_month for row in curve if row.cost_nanousd_per_job <= promised * 10**9), None)
say(
    (
        f"Of the rates drawn, **{enough:,} jobs a month** is the first at which a job costs no more than ${promised}; "
        if enough
        else f"At none of the rates drawn does a job cost as little as ${promised}; "
    )
    + f"at {curve[0].jobs_per_month:,} it costs {shown(curve[0].cost_nanousd_per_job, NANOUSD)}."
)

# %% [markdown]
# ## The design's promises beside what holds

# %%
held = [
    {
        "promise": one.promise,
        "promised": shown(one.promised, one.unit),
        "by its own figures": shown(one.by_its_own_figures, one.unit),
        "here": shown(one.here, one.unit),
        "holds": one.holds,
        "reason": one.reason,
    }
    for one in promises(costs, model)
]
table(held)

# %% [markdown]
# ## Margins
#
# What a job of average size earns on each plan when the whole allowance is used, as overage, and as it was invoiced. A
# plan that is not used up earns more a job than the first rows say.

# %%
revenue = sum(invoice.total_cents for invoice in invoices)
per_job = half_up(Fraction(revenue * 10**7, inputs.jobs_per_month))
margins = [
    {
        "a job of": row.who,
        "earns": shown(row.revenue_nanousd, NANOUSD),
        "costs": shown(row.cost_nanousd, NANOUSD),
        "leaves": shown(row.margin_nanousd, NANOUSD),
        "pays from, jobs a month": f"{row.break_even_jobs:,}" if row.break_even_jobs else "never",
    }
    for row in plan_margins(costs, model, prices)
]
table(margins)

# %%
month_cost = half_up(Fraction(model.microusd, 10_000))
fees = sum(part(one, "plan-fee") for one in invoices)
besides = sum(line.amount_cents for one in invoices for line in one.lines if line.code != "plan-fee")
assert fees + besides == revenue
fees_of = {
    plan: sum(
        line.amount_cents for one in invoices for line in one.lines if line.code == "plan-fee" and line.plan == plan
    )
    for plan in plans
}
assert sum(fees_of.values()) == fees
payer = max(plans, key=lambda plan: fees_of[plan])
losing = all(row.revenue_nanousd < row.cost_nanousd for row in plan_margins(costs, model, prices))
say(
    f"As invoiced, a month earns {dollars(revenue)}: {dollars(fees)} in fees, {dollars(besides)} in overage, credits "
    f"and corrections as far as the log goes. It costs {dollars(month_cost)}: **{dollars(abs(revenue - month_cost))} "
    f"are {'left' if revenue >= month_cost else 'missing'}**. Spread over {jobs_per_month:,} jobs that is "
    f"{shown(per_job, NANOUSD)} earned and {shown(model.nanousd_per_job, NANOUSD)} spent a job.",
    "No plan's units, used up, carry the cost of computing them at this rate."
    + (
        f" What pays for it are allowances that are not used: {percent(fees_of[payer] / fees)} of the fees are those "
        f"of {payer}, the plan of {sum(one.plan == payer for one in invoices)} of {len(invoices)} tenants."
        if revenue >= month_cost and fees
        else ""
    )
    if losing
    else "Some plans carry their jobs' cost even when used up.",
)

# %% [markdown]
# ## What moves the cost
#
# One input at a time, everything else as above.

# %%
moves = {
    "twice the jobs": {"jobs_per_month": 2 * inputs.jobs_per_month},
    "half the jobs": {"jobs_per_month": max(1, inputs.jobs_per_month // 2)},
    "80 % of workers on spot": {"spot_percent": 80},
    "20 % of jobs coalesced": {"coalesced_percent": 20},
    "work takes twice as long": {"work_ms": 2 * inputs.work_ms},
    "gas price times 20": {"gas_price_wei": 20 * inputs.gas_price_wei},
    "results hot for 90 days": {"hot_days": 90},
}
moved = pl.DataFrame(
    [
        {"change": name, "cost": made.nanousd_per_job, "by": made.nanousd_per_job / model.nanousd_per_job - 1}
        for name, given in moves.items()
        for made in [cost_model(costs, asked(inputs, given), basis.gas_per_job)]
    ]
).sort("by")
moved = moved.with_columns(
    pl.when(pl.col("by") < 0).then(pl.lit("cheaper")).otherwise(pl.lit("dearer")).alias("a job is")
)
effect = dict(moved.select("change", "by").iter_rows())
assert effect["twice the jobs"] < 0 < effect["half the jobs"]
assert effect["gas price times 20"] >= 0

draw(
    alt.Chart(moved, title=alt.Title("What moves the cost of a job", subtitle="one input changed at a time"))
    .mark_bar()
    .encode(
        alt.X("by:Q", title="change of the cost a job", axis=alt.Axis(format="+.0%")),
        alt.Y("change:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
        alt.Color("a job is:N", scale=alt.Scale(domain=["cheaper", "dearer"], range=["#009e73", "#d55e00"])),
    ),
    "what-moves-the-cost",
)

# %%
strongest = max(moved.to_dicts(), key=lambda row: abs(row["by"]))
nothing = [row["change"] for row in moved.to_dicts() if not row["cost"] - model.nanousd_per_job]
idle = model.workers == inputs.workers_least
say(
    f"*{strongest['change'].capitalize()}* moves it most: {100 * strongest['by']:+,.0f} %. "
    + (f"Without any effect: {listed(nothing)}. " if nothing else "")
    + (
        f"The work of a month needs no more than the {model.workers} workers that are kept in any case, so that less "
        "work saves nothing."
        if idle
        else ""
    )
)

# %% [markdown]
# ## What if overage cost what the plan's own units cost?
#
# The same month under another price book, in which a unit of overage has the price of an included one. Everyone is
# taken to do what they did.

# %%
fair = {
    name: prices.plan(name, {"overage_nanousd": half_up(Fraction(plan.fee_microusd * 1000, plan.compute_units))})
    if plan.overage_allowed and plan.compute_units
    else plan
    for name, plan in prices.plans.items()
}
fairer = PriceBook(
    "overage at plan price", prices.currency, prices.bytes_per_kb, fair, prices.seller, prices.sla_credits
)
now, then = (price(log, [month], NamedBook(one.version, one), now_ms=watermark) for one in (prices, fairer))
tenants = changes(now, then)
gain = sum(then.cents.values()) - sum(now.cents.values())
assert gain == sum(row.change_cents for row in tenants)
charged_more = {row.tenant for row in tenants if row.change_cents > 0}
assert charged_more <= {one.tenant for one in invoices if one.units.overage}, "only overage has another price"

losers = [row for row in tenants if row.change_cents > 0]
say(
    f"The month would bring {dollars(sum(then.cents.values()))} in place of {dollars(sum(now.cents.values()))}, "
    f"**{dollars(gain)} more**. {len(losers)} of {len(tenants)} tenants would pay more"
    + "".join(
        f", {row.tenant} most: {dollars(row.before_cents)} would become {dollars(row.after_cents)}"
        for row in losers[-1:]
    )
    + "."
)
