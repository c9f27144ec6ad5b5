"""Messages the demo sends: what people get every day, wanted and unwanted. All of it is made up."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime

from filterd.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One message and what a person would call it."""

    label: str
    sender: str
    subject: str
    """Empty for an SMS."""
    text: str
    html: str = ""


MAILS = (
    Sample(
        label="ham",
        sender="maria.keller@example.org",
        subject="Re: minutes of Tuesday's meeting",
        text="Hi Tom,\n\nthanks for the minutes. Two corrections: the budget for the second quarter was approved,\n"
        "not postponed, and Sam takes over the release notes. Could you send the corrected version to the\n"
        "list before Friday?\n\nBest,\nMaria\n",
    ),
    Sample(
        label="spam",
        sender="winner@lucky-draw.example",
        subject="CONGRATULATIONS!!! You have WON $1,000,000.00",
        text="Dear Lucky Winner,\n\nYour email address has WON the sum of $1,000,000.00 in our international\n"
        "lottery promotion!!! To claim your prize money send your full name, bank account number and a\n"
        "processing fee of $250 by Western Union to our claims agent TODAY. Act now, this offer expires in\n"
        "24 hours!!!\n\nClick here: http://claim-prize.lucky-draw.example/win\n",
    ),
    Sample(
        label="ham",
        sender="orders@bookshop.example",
        subject="Your order 30417 has been shipped",
        text="Hello Tom,\n\nyour order 30417 left our warehouse today and should reach you on Thursday.\n\n"
        "  1 x The Mythical Man-Month    28.90 EUR\n  Shipping                       0.00 EUR\n\n"
        "You can follow the parcel in your account. Thank you for shopping with us.\n\nThe Bookshop\n",
    ),
    Sample(
        label="spam",
        sender="pharmacy@cheap-meds.example",
        subject="Cheap V1agra and C1alis - 80% OFF, no prescription",
        text="Buy V1agra, C1alis and Xanax online! Lowest prices guaranteed, no prescription needed.\n"
        "80% discount for new customers, discreet worldwide shipping, 100% satisfaction or money back.\n"
        "Order now: http://cheap-meds.example/order?id=8842\n\nTo be removed click here.\n",
    ),
    Sample(
        label="ham",
        sender="ci@build.example.net",
        subject="[gateway] build 1812 failed: test_relay_timeout",
        text="Build 1812 of branch main failed after 6 minutes.\n\nFAILED tests/test_relay.py::test_relay_timeout\n"
        "E   AssertionError: expected 451, got 250\n\nCommit 3fa2c1d by sam: relay: read the reply before closing\n",
    ),
    Sample(
        label="spam",
        sender="security@paypa1-verify.example",
        subject="Your account has been limited - verify now",
        text="Dear Customer,\n\nWe noticed unusual activity and your account has been suspended. You must verify\n"
        "your account information within 24 hours or it will be permanently closed.\n\n"
        "Verify now: http://192.0.2.77/paypal/login.php?cmd=verify\n\nThank you, Security Department\n",
        html="<html><body><p>Dear Customer,</p><p>We noticed unusual activity and your account has been "
        "<b>suspended</b>. You must verify your account information within 24 hours or it will be permanently "
        'closed.</p><p><a href="http://192.0.2.77/paypal/login.php?cmd=verify">https://www.paypal.example/</a></p>'
        '<div style="display:none">meeting agenda minutes weather garden recipe</div></body></html>',
    ),
    Sample(
        label="ham",
        sender="dr.weber@praxis.example",
        subject="Reminder: your appointment on 14 May at 9:30",
        text="Dear Mr Brown,\n\nthis is a reminder of your dental check-up on 14 May at 9:30. Please bring your\n"
        "insurance card. If you cannot come, call us at least one day before.\n\nKind regards,\n"
        "Dr Weber's practice\n",
    ),
    Sample(
        label="spam",
        sender="mr.johnson@trust-bank.example",
        subject="CONFIDENTIAL BUSINESS PROPOSAL",
        text="Dear Friend,\n\nI am Mr. Johnson, manager of a bank in Lagos. A deceased customer left the sum of\n"
        "US$25,500,000 and no next of kin. I seek your assistance to transfer this fund into your account. You\n"
        "will receive 30% of the total sum for your help. This transaction is 100% risk free. Reply urgently\n"
        "with your bank details, telephone and fax number.\n\nYours faithfully,\nMr. Johnson\n",
    ),
    Sample(
        label="ham",
        sender="anna@family.example",
        subject="Photos from the weekend",
        text="Hi Dad,\n\nI put the photos from the lake in the shared folder. The one with the dog and the boat is my\n"
        "favourite! Are you coming over on Sunday? Leo wants to show you his new bike.\n\nLove,\nAnna\n",
    ),
    Sample(
        label="spam",
        sender="offers@mega-casino.example",
        subject="$500 FREE bonus - play now and WIN BIG!!!",
        text="Get your $500 FREE casino bonus today! No deposit needed. Hundreds of slots, roulette and poker.\n"
        "Win big from home, instant cash payout guaranteed!!! Click here to claim your free bonus:\n"
        "http://mega-casino.example/bonus\n\nThis is a limited time offer. Unsubscribe: reply with REMOVE.\n",
    ),
    Sample(
        label="ham",
        sender="lists@python-users.example",
        subject="Re: asyncio: cancelling a task that holds a lock",
        text="On Monday, Kim wrote:\n> When the task is cancelled inside the with block the lock is released,\n"
        "> isn't it?\n\nYes: __aexit__ runs during cancellation. What you see is the shield around the inner\n"
        "coroutine, which keeps running. Wait for it before you close the connection.\n\n-- \nJordan\n",
    ),
    Sample(
        label="spam",
        sender="rich@work-from-home.example",
        subject="Make $5000 a week working from home!",
        text="Do you want to earn $5000 or more per week working from home? No experience needed! Our proven\n"
        "system makes money while you sleep. Join thousands of satisfied members who quit their jobs. FREE\n"
        "information, act now, only 12 places left: http://work-from-home.example/join\n",
    ),
    Sample(
        label="ham",
        sender="noreply@bank.example",
        subject="Your statement for April is ready",
        text="Dear Mr Brown,\n\nyour statement for April is ready in online banking under Documents. We never ask for\n"
        "your password or a code by email.\n\nYour bank\n",
    ),
    Sample(
        label="spam",
        sender="seo@rank-first.example",
        subject="Guaranteed first page on every search engine",
        text="Hello website owner,\n\nwe can put your website on the first page of all major search engines,\n"
        "guaranteed, for only $99 a month. Thousands of targeted visitors, 10,000 backlinks, bulk email lists\n"
        "with millions of addresses. Reply now for a free quote! Special discount this week only.\n",
    ),
)

TEXTS = (
    Sample(label="ham", sender="+15550100001", subject="", text="Running 10 min late, order me a coffee please?"),
    Sample(
        label="spam",
        sender="+15550100002",
        subject="",
        text="WINNER!! You have been selected to receive a 1000 pound cash prize! To claim call 09061701461 now. "
        "Claim code KL341. Valid 12 hours only.",
    ),
    Sample(
        label="ham",
        sender="Bank",
        subject="",
        text="Your one-time code is 482913. It is valid for 5 minutes. Never share it with anyone.",
    ),
    Sample(
        label="spam",
        sender="+15550100004",
        subject="",
        text="URGENT! Your mobile number has won a FREE holiday voucher. Txt WIN to 80086 to claim. 150p/msg, 18+ only",
    ),
    Sample(
        label="ham",
        sender="+15550100005",
        subject="",
        text="Mum says dinner is at seven. Can you bring the big bowl and pick up Sam on the way?",
    ),
    Sample(
        label="spam",
        sender="+15550100006",
        subject="",
        text="FREE entry in our weekly prize draw! Text PLAY to 85555 for your chance to win 250 pounds cash every "
        "week. T&Cs apply, reply STOP to opt out http://prize.example/t",
    ),
    Sample(
        label="ham",
        sender="+15550100007",
        subject="",
        text="Hi, it's Dana from the garage. Your car is ready, you can pick it up until six today.",
    ),
    Sample(
        label="spam",
        sender="+15550100008",
        subject="",
        text="Your parcel is on hold: a fee of 1.99 is due. Pay now to avoid return: http://parcel-fee.example/pay",
    ),
)


def as_email(sample: Sample, recipient: str, serial: int, clock: Clock) -> bytes:
    """``sample`` as a message, CRLF line ends."""
    message = EmailMessage()
    message["From"] = sample.sender
    message["To"] = recipient
    message["Subject"] = sample.subject
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = f"<{serial}.{int(clock.now().timestamp())}@{sample.sender.rpartition('@')[2]}>"
    message.set_content(sample.text)
    if sample.html:
        message.add_alternative(sample.html, subtype="html")
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
