"""What billing refuses."""

from __future__ import annotations

from django.utils.translation import gettext_lazy

from accounts.errors import Conflict, DomainError, NotFound, NotReady


class MonthNotEnded(NotReady):
    """A month is closed only after its last instant in Korea."""

    code = "month_not_ended"
    title = gettext_lazy("The month has not ended")


class CannotBill(NotReady):
    """One customer's month can't be billed yet; `code` says which piece is missing. The customer is parked with it."""

    code = "cannot_bill"


class NoSellerProfile(CannotBill):
    code = "no_seller_profile"
    title = gettext_lazy("There is no seller profile")


class NoTaxProfile(CannotBill):
    code = "no_tax_profile"
    title = gettext_lazy("There is no tax profile")


class NoExchangeRate(CannotBill):
    code = "no_exchange_rate"
    title = gettext_lazy("There is no exchange rate")


class NoMarginRule(CannotBill):
    code = "no_margin_rule"
    title = gettext_lazy("There is no margin rule")


class QuarantinedUsage(CannotBill):
    code = "quarantined_usage"
    title = gettext_lazy("Events wait for a price")


class UnknownModel(DomainError):
    code = "unknown_model"
    title = gettext_lazy("There is no such model")
    http_status = 404


class NoPrice(DomainError):
    """The model has no price of its own at that time; `code` says why: variable_price, quarantined_price, unpriced."""

    code = "unpriced"


class NoPriceThen(NotFound):
    """No interval of the model's price history holds that instant."""

    code = "no_price_then"


class UnfitForTaxInvoice(CannotBill):
    """The tax identities or amounts would be refused by every tax-invoice provider; `field` says which."""

    code = "unfit_for_tax_invoice"
    title = gettext_lazy("No tax invoice can be issued")


class TaxDeadlinePassed(Conflict):
    """Issuing now costs a penalty (지연발급), so a named person has to decide it."""

    code = "tax_deadline_passed"
    title = gettext_lazy("The tax invoice is late")


class TaxInvoiceBusy(Conflict):
    """Another worker is sending this very document."""

    code = "tax_invoice_busy"
    title = gettext_lazy("The tax invoice is being sent")


class TaxProviderAway(NotReady):
    """The provider issued nothing and can't work now; try again later."""

    code = "tax_provider_away"


class TaxOutcomeUnknown(NotReady):
    """It may have been issued; the next attempt asks the provider before anything is sent again."""

    code = "tax_outcome_unknown"


class TaxOriginalNotIssued(NotReady):
    """An amended tax invoice names the approval number of the one that it amends, which has none yet."""

    code = "tax_original_not_issued"
    title = gettext_lazy("The amended tax invoice is not issued yet")


class NotResendable(Conflict):
    """The delivery is no mail, did not come back, or was sent again already."""

    code = "not_resendable"
    title = gettext_lazy("This mail can not be sent again")


class RatesUnavailable(NotReady):
    """The publisher of exchange rates can't be asked or doesn't answer as agreed; nothing was guessed."""

    code = "rates_unavailable"


class TaxProviderMisconfigured(NotReady):
    """TAX_PROVIDER or a setting of that provider names something that does not exist."""

    code = "tax_provider_misconfigured"


class NotEnoughLeft(Conflict):
    """More won are asked for than a payment, prepayment, promotional credit or invoice has left."""

    code = "not_enough_left"
    title = gettext_lazy("Not so much is left")


class AlreadyRecorded(Conflict):
    """This line of the bank account is recorded already, with other facts."""

    code = "already_recorded"
    title = gettext_lazy("This is recorded already")


class WrongCustomer(Conflict):
    """A payment pays invoices of its own customer only; one of unknown origin has to be assigned first."""

    code = "wrong_customer"
    title = gettext_lazy("This is not that customer's")


class AlreadyReversed(Conflict):
    """It was taken back before, or something that hangs on it was."""

    code = "already_reversed"
    title = gettext_lazy("This was taken back before")


class NotApproved(CannotBill):
    """A run in steps issues only what a second person approved."""

    code = "not_approved"
    title = gettext_lazy("This is not approved")


class ChangedSinceApproval(CannotBill):
    """Usage, a price or a rate came in between: the draft that was approved is not what would be issued."""

    code = "changed_since_approval"
    title = gettext_lazy("The bill changed after it was approved")


class StepNotPossible(NotReady):
    """A step of the close is asked for before the one it stands on."""

    code = "step_not_possible"
    title = gettext_lazy("Another step comes first")


class SamePerson(NotReady):
    """Who asked for the drafts can't approve them."""

    code = "same_person"
    title = gettext_lazy("A second person has to approve this")


class NotCreditable(Conflict):
    """The invoice is not in force, or the line has not so many won left to take back."""

    code = "not_creditable"
    title = gettext_lazy("This can not be credited")


class CreditNoteStands(Conflict):
    """What a credit note settled stays settled: the note itself can't be taken back."""

    code = "credit_note_stands"
    title = gettext_lazy("A credit note stands")


class InvoiceIsCredited(Conflict):
    """An invoice with credit notes can't be voided."""

    code = "invoice_is_credited"
    title = gettext_lazy("The invoice has credit notes")


class NothingToBill(Conflict):
    """A voided month comes to nothing now, so there is no invoice to issue anew."""

    code = "nothing_to_bill"
    title = gettext_lazy("There is nothing to bill")


class AlreadyDecided(Conflict):
    """A proposal is decided once."""

    code = "already_decided"
    title = gettext_lazy("This was decided before")
