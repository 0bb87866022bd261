"""People: operators and users at customers."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm, UserChangeForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin.filters import CustomerFilter
from accounts.admin.inputs import RowsSelected
from accounts.admin.operating import OperatorAdmin
from accounts.models import Membership, User

#: What decides over a person's rights; only superusers hand them out.
RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


class NewUserForm(BaseUserCreationForm):
    """Django's form of a new user, by e-mail address."""

    class Meta:
        model = User
        fields = ("email", "name")


class UserForm(UserChangeForm):
    """Django's form of a user, by e-mail address."""

    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, Any] = {}


class MembershipInline(RowsSelected, admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user", "customer")


@admin.register(User)
class UserAdmin(OperatorAdmin, StockUserAdmin):
    """Users are switched off and never deleted: their name stands in the audit trail."""

    form = UserForm
    add_form = NewUserForm
    list_display = ("email", "name", "is_staff", "is_active", "last_login", "created_at")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ("groups", "user_permissions")
    readonly_fields = ("last_login", "created_at")
    inlines = (MembershipInline,)
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        (_("Rights"), {"fields": ("is_active", *RIGHTS)}),
        (_("Dates"), {"fields": ("last_login", "created_at")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "name", "password1", "password2")}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.readonly_fields if request.user.is_superuser else (*self.readonly_fields, *RIGHTS)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody but a superuser changes a superuser: a new password would be a way to become one."""
        is_above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not is_above and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Membership)
class MembershipAdmin(RowsSelected, OperatorAdmin):
    list_display = ("customer", "user", "role")
    list_filter = (CustomerFilter, "role")
    list_select_related = ("customer", "user")
    search_fields = ("user__email", "customer__slug", "customer__name")
    autocomplete_fields = ("user", "customer")
    ordering = ("customer__slug", "user__email")
