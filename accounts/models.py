"""Who pays and who may call."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address; there is no user name."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email:
            raise ValueError("a user needs an e-mail address")
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        """E-mail addresses are compared without case, as the unique constraint does."""
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person: an operator (`is_staff`) or somebody at a customer (through `Membership`)."""

    email = models.EmailField(_("e-mail"), unique=True)
    name = models.CharField(_("name"), max_length=100, blank=True)
    is_staff = models.BooleanField(_("operator"), default=False)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_is_unique_without_case")]

    def __str__(self) -> str:
        return self.email


class Customer(models.Model):
    """The company that is billed; the tenant. Its billing policy is the contract's terms."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("active")
        SUSPENDED = "suspended", _("suspended")
        CLOSED = "closed", _("contract ended")

    class ExchangeRule(models.TextChoices):
        MONTH_END = "month_end", _("last rate of the month")
        DAILY = "daily", _("each day's rate")
        FIXED = "fixed", _("contract rate")

    class Currency(models.TextChoices):
        KRW = "KRW", _("won (KRW)")
        USD = "USD", _("US dollars (USD)")

    class Rounding(models.TextChoices):
        HALF_UP = "half_up", _("round half up")
        DOWN = "down", _("round down")

    class Locale(models.TextChoices):
        KO = "ko", "한국어"
        EN = "en", "English"

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=200)
    status = models.CharField(_("status"), max_length=12, choices=Status.choices, default=Status.ACTIVE)
    locale = models.CharField(_("language"), max_length=2, choices=Locale.choices, default=Locale.KO)
    exchange_rule = models.CharField(
        _("exchange rule"), max_length=12, choices=ExchangeRule.choices, default=ExchangeRule.MONTH_END
    )
    fixed_rate_krw_per_usd = models.DecimalField(
        _("contract rate (KRW per USD)"), max_digits=12, decimal_places=4, null=True, blank=True
    )
    #: What the amounts of its invoices are read in, and may be paid in. The won are the legal amounts in either.
    invoice_currency = models.CharField(
        _("invoice currency"), max_length=3, choices=Currency.choices, default=Currency.KRW, db_default=Currency.KRW
    )
    rounding = models.CharField(_("rounding"), max_length=8, choices=Rounding.choices, default=Rounding.HALF_UP)
    payment_due_days = models.PositiveSmallIntegerField(_("days to pay"), default=15)
    #: Slugs of providers and ids of models that the customer may call. NULL sets no limit, an empty list allows nothing.
    enabled_providers = ArrayField(models.CharField(max_length=100), verbose_name=_("providers"), null=True, blank=True)
    allowed_models = ArrayField(models.CharField(max_length=200), verbose_name=_("models"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("customer")
        verbose_name_plural = _("customers")
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                name="customer_has_a_contract_rate_exactly_under_the_fixed_rule",
                condition=Q(exchange_rule="fixed", fixed_rate_krw_per_usd__isnull=False, fixed_rate_krw_per_usd__gt=0)
                | (~Q(exchange_rule="fixed") & Q(fixed_rate_krw_per_usd__isnull=True)),
            ),
            models.CheckConstraint(
                # A month of many rates has none at which its dollars could be paid.
                name="customer_is_invoiced_in_dollars_at_one_rate",
                condition=Q(invoice_currency="KRW") | (Q(invoice_currency="USD") & ~Q(exchange_rule="daily")),
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def is_currency_fit(self) -> bool:
        """Whether there is one rate for the dollars of an invoice, where it is to have some."""
        return self.invoice_currency == self.Currency.KRW or self.exchange_rule != self.ExchangeRule.DAILY

    def may_call(self, *, provider: str, model_id: str) -> bool:
        """Whether the contract covers a model, named by its provider's slug and its own id."""
        return (self.enabled_providers is None or provider in self.enabled_providers) and (
            self.allowed_models is None or model_id in self.allowed_models
        )


class Membership(models.Model):
    """A user's place at a customer."""

    class Role(models.TextChoices):
        OWNER = "owner", _("owner")
        MEMBER = "member", _("member")

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("user"))
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="memberships", verbose_name=_("customer"))
    role = models.CharField(_("role"), max_length=8, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(fields=["user", "customer"], name="membership_is_one_per_user_and_customer")
        ]

    def __str__(self) -> str:
        return f"{self.user} @ {self.customer}"


class BusinessIdentity(models.Model):
    """What a tax invoice says of one party. Widths are the national form's (KEC v3.0), so nothing is cut later."""

    registration_no = models.CharField(_("business registration no."), max_length=13)
    name = models.CharField(_("company name"), max_length=70)
    ceo_name = models.CharField(_("representative"), max_length=30)
    address = models.CharField(_("address"), max_length=150)
    business_type = models.CharField(_("business type (업태)"), max_length=40, blank=True)
    business_class = models.CharField(_("business item (종목)"), max_length=40, blank=True)
    email = models.EmailField(_("billing e-mail"), max_length=40)

    class Meta:
        abstract = True


class TaxProfile(BusinessIdentity):
    """One version of a customer's tax identity. Versions are added, never edited: the one in force at a day is the last
    whose `valid_from` is not after it.
    """

    class Kind(models.TextChoices):
        CORPORATION = "corporation", _("corporation")
        SOLE_TRADER = "sole_trader", _("sole trader")
        FOREIGN = "foreign", _("foreign company")

    #: What stands in for a business number of a foreign buyer (KEC v3.0, BusinessTypeCode 03).
    FOREIGN_REGISTRATION_NO = "9999999999999"

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="tax_profiles", verbose_name=_("customer"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices, default=Kind.CORPORATION)
    foreign_id = models.CharField(_("foreign registration or passport no."), max_length=40, blank=True)
    email2 = models.EmailField(_("second billing e-mail"), max_length=40, blank=True)
    valid_from = models.DateField(_("valid from"))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200)

    class Meta:
        verbose_name = _("tax profile")
        verbose_name_plural = _("tax profiles")
        ordering = ["customer", "-valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "valid_from"], name="tax_profile_is_one_per_customer_and_day"),
            models.CheckConstraint(
                name="tax_profile_number_fits_its_kind",
                condition=(
                    Q(kind="foreign", registration_no="9999999999999") & ~Q(foreign_id="")
                    | ~Q(kind="foreign") & Q(registration_no__regex=r"^[0-9]{10}$", foreign_id="")
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.registration_no}) {self.valid_from}"


class SellerProfile(BusinessIdentity):
    """One version of our own identity as the supplier, with the account that customers pay into."""

    phone = models.CharField(_("phone"), max_length=20, blank=True)
    bank_name = models.CharField(_("bank"), max_length=30)
    bank_account_no = models.CharField(_("account no."), max_length=30)
    bank_account_holder = models.CharField(_("account holder"), max_length=70)
    #: Bank, SWIFT code and number, as an invoice in dollars says them; empty where dollars are not received.
    bank_account_usd = models.CharField(_("US dollar account"), max_length=150, blank=True, default="", db_default="")
    valid_from = models.DateField(_("valid from"), unique=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200)

    class Meta:
        verbose_name = _("seller profile")
        verbose_name_plural = _("seller profiles")
        ordering = ["-valid_from"]
        constraints = [
            models.CheckConstraint(
                name="seller_profile_number_has_ten_digits", condition=Q(registration_no__regex=r"^[0-9]{10}$")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.valid_from}"


class ApiKey(models.Model):
    """A key that calls us. Only its HMAC-SHA256 under a versioned pepper is kept: the table alone authenticates nobody.

    A customer's key meters that customer's calls; an ingest key (no customer) may post events of every customer.
    """

    class Scope(models.TextChoices):
        CUSTOMER = "customer", _("customer")
        INGEST = "ingest", _("usage ingest (operator)")

    scope = models.CharField(_("scope"), max_length=10, choices=Scope.choices, default=Scope.CUSTOMER)
    customer = models.ForeignKey(
        Customer, models.PROTECT, null=True, blank=True, related_name="api_keys", verbose_name=_("customer")
    )
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(
        _("prefix"), max_length=24, unique=True, validators=[RegexValidator(r"^sk-jeongsan-[0-9A-Za-z]+$")]
    )
    last4 = models.CharField(_("last four"), max_length=4)
    pepper_version = models.PositiveSmallIntegerField(_("pepper version"))
    digest = models.BinaryField(_("HMAC-SHA256"), max_length=32, unique=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.CharField(_("created by"), max_length=200)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    revoked_by = models.CharField(_("revoked by"), max_length=200, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)
    #: Limits of the gateway; NULL sets none.
    rpm_limit = models.PositiveIntegerField(_("requests per minute"), null=True, blank=True)
    tpm_limit = models.PositiveBigIntegerField(_("tokens per minute"), null=True, blank=True)
    concurrency_limit = models.PositiveIntegerField(_("calls at a time"), null=True, blank=True)
    #: USD at list price in a Korean month.
    monthly_limit_usd = models.DecimalField(_("USD per month"), max_digits=20, decimal_places=6, null=True, blank=True)
    #: Networks in CIDR notation ("203.0.113.0/24") that the key may call from.
    allowed_ips = ArrayField(models.CharField(max_length=43), verbose_name=_("networks"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="api_key_has_a_customer_exactly_in_customer_scope",
                condition=Q(scope="customer", customer__isnull=False) | Q(scope="ingest", customer__isnull=True),
            ),
            models.CheckConstraint(
                name="api_key_expires_after_it_was_created",
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("created_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…{self.last4})"

    def is_usable(self, *, at: Any) -> bool:
        """Whether the key may call at that instant."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at)


class AuditEntry(models.Model):
    """Who did what, and why. Written in the transaction of the change itself; the database refuses edits."""

    at = models.DateTimeField(_("at"), default=timezone.now, editable=False)
    actor = models.CharField(_("by"), max_length=200)
    action = models.CharField(_("action"), max_length=60)
    object_type = models.CharField(_("object"), max_length=60)
    object_id = models.CharField(_("object id"), max_length=200)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    data = models.JSONField(_("data"), default=dict)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["object_type", "object_id"], name="audit_by_object")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor} {self.action} {self.object_type} {self.object_id}"


class SubmittedForm(models.Model):
    """An operators' form that was sent: what it asked for is done once, however often the button was pressed."""

    token = models.UUIDField(_("form"), primary_key=True)
    at = models.DateTimeField(_("at"))
    actor = models.CharField(_("by"), max_length=200)

    class Meta:
        verbose_name = _("submitted form")
        verbose_name_plural = _("submitted forms")
        ordering = ["-at"]

    def __str__(self) -> str:
        return str(self.token)
