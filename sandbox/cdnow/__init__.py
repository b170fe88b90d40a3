"""A customer base with a real past: the CDNOW purchase log as documents of a LEO CDP.

The purchases are real: 69,659 orders of 23,570 customers of an online shop (Fader and Hardie),
read from the PyPI package ``lifetimes`` and never committed. Their dates are moved by a constant so
that the log ends on the anchor day, and dollars become đồng. The identities, addresses and consents
are invented from a fixed seed, with the dirt that a real base has. Nothing here is a real person.

Two decisions about the raw log:

* 255 rows repeat an earlier row exactly. An event's key is a hash of its content, so they are one
  event: a row that a till sent twice is not a second purchase.
* 80 orders have the value 0. They are kept as ``order-checkout`` events with the status ``voided``
  and count neither as purchases nor as money.

The anchor is stored with the data. Loading again on the same day, or on any later day, changes
nothing: the base then simply grows older, as real ones do. ``--reset`` empties it and starts anew.
"""
