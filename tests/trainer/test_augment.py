from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits, parse_email
from trainer.augment import copies, flattened, origin
from trainer.example import Example, Label


def sms(number: int, text: str = "Call 0906 NOW for your free prize") -> Example:
    return Example(
        id=str(number),
        corpus="c",
        channel=Channel.SMS,
        label=Label.SPAM if number % 2 else Label.HAM,
        raw=text.encode(),
    )


def test_flattened_when_sms_are_copied_then_case_and_digits_are_gone_and_labels_stay():
    message = sms(1, "Call 0906 NOW")

    (copy,) = flattened([message], 1.0)

    assert (copy.raw, copy.label, copy.id) == (b"call  now", Label.SPAM, "1~flat")
    assert flattened([message], 0.0) == ()


def test_copies_when_a_share_is_disguised_then_both_labels_are_and_each_knows_its_original():
    messages = [sms(number) for number in range(400)]

    made = copies(messages, flat=0.0, disguised=0.25)

    assert 60 < len(made) < 140
    by_id = {message.id: message for message in messages}
    assert {origin(copy) for copy in made} <= by_id.keys()
    assert all(copy.label is by_id[origin(copy)].label for copy in made)
    spam = sum(copy.label is Label.SPAM for copy in made) / len(made)
    assert 0.35 < spam < 0.65
    assert copies(messages, flat=0.0, disguised=0.25) == made
    assert sum(copy.raw != by_id[origin(copy)].raw for copy in made) > len(made) / 2


def test_copies_when_an_email_is_disguised_then_it_is_still_a_message_with_its_subject():
    raw = b"From: a@example.com\r\nSubject: hello there\r\n\r\nPlease visit our great offers today\r\n"
    messages = [Example(id=str(i), corpus="c", channel=Channel.EMAIL, label=Label.HAM, raw=raw) for i in range(60)]

    made = copies(messages, flat=1.0, disguised=1.0)

    assert len(made) == 60
    assert {parse_email(copy.raw, ParseLimits()).subject for copy in made} == {"hello there"}
