"""Operators log in by e-mail, set passwords, and don't lift themselves up."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from tests.admin.house import PASSWORD, make_root, make_staff

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "a longer sentence than before"


def client_of(user: User) -> Client:
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


def user_form(user: User, **changes: str) -> dict[str, str]:
    """What the browser would post for that user's page."""
    return {
        "email": user.email,
        "name": user.name,
        "is_active": "on",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    } | changes


def test_the_login_page_asks_for_an_e_mail_address_in_korean() -> None:
    make_root()
    client = Client()
    page = client.get("/admin/login/?next=/admin/", headers={"accept-language": "ko"})
    assert (page.status_code, "이메일" in page.content.decode(), 'lang="ko"' in page.content.decode()) == (
        200,
        True,
        True,
    )
    wrong = client.post("/admin/login/", {"username": "root@jeongsan.example", "password": "wrong"})
    assert wrong.status_code == 200
    right = {"username": "Root@Jeongsan.example", "password": PASSWORD, "next": "/admin/"}
    assert client.post("/admin/login/", right).headers["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_a_customer_s_user_is_no_operator() -> None:
    User.objects.create_user("owner@gaon.example", PASSWORD)
    client = Client(headers={"accept-language": "en"})
    answer = client.post("/admin/login/", {"username": "owner@gaon.example", "password": PASSWORD})
    assert answer.status_code == 200
    assert client.get("/admin/").headers["Location"] == "/admin/login/?next=/admin/"


def test_a_user_is_added_by_e_mail_and_gets_a_password() -> None:
    root = make_root()
    client = client_of(root)
    new = {"email": "ops@jeongsan.example", "name": "담당자", "password1": PASSWORD, "password2": PASSWORD}
    inline = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    add = reverse("admin:accounts_user_add")
    assert client.post(add, {**new, **inline, "email": "ROOT@jeongsan.example"}).status_code == 200
    assert client.post(add, {**new, **inline, "password2": "other"}).status_code == 200
    assert client.post(add, {**new, **inline}).status_code == 302
    user = User.objects.get(email="ops@jeongsan.example")
    assert (user.name, user.is_staff, user.check_password(PASSWORD)) == ("담당자", False, True)

    change = reverse("admin:auth_user_password_change", args=[user.pk])
    assert client.get(change).status_code == 200
    passwords = {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    assert client.post(change, {**passwords, "usable_password": "true"}).status_code == 302
    user.refresh_from_db()
    assert user.check_password(NEW_PASSWORD)
    trail = AuditEntry.objects.filter(object_type="accounts.user", object_id=str(user.pk)).order_by("pk")
    assert list(trail.values_list("actor", "action")) == [(root.email, "admin_add"), (root.email, "admin_change")]
    assert NEW_PASSWORD not in str(list(trail.values()))


def test_an_operator_changes_the_own_password() -> None:
    staff = make_staff()
    client = client_of(staff)
    page = reverse("admin:password_change")
    assert client.get(page).status_code == 200
    answers = {"old_password": PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
    assert client.post(page, answers).status_code == 302
    staff.refresh_from_db()
    assert staff.check_password(NEW_PASSWORD)


def test_nobody_but_a_superuser_hands_out_rights() -> None:
    root = make_root()
    staff = make_staff("hr@jeongsan.example", "accounts.change_user", "accounts.view_user", "accounts.add_user")
    client = client_of(staff)
    own = reverse("admin:accounts_user_change", args=[staff.pk])
    assert client.post(own, user_form(staff, name="인사", is_staff="on", is_superuser="on")).status_code == 302
    staff.refresh_from_db()
    assert (staff.name, staff.is_superuser, staff.is_staff) == ("인사", False, True)
    above = reverse("admin:accounts_user_change", args=[root.pk])
    assert client.get(above).status_code == 200
    assert client.post(above, user_form(root, email="mine@jeongsan.example")).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[root.pk])
    assert client.post(password, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}).status_code == 403
    root.refresh_from_db()
    assert (root.email, root.check_password(PASSWORD)) == ("root@jeongsan.example", True)

    assert client_of(root).post(own, user_form(staff, is_superuser="on", is_staff="on")).status_code == 302
    staff.refresh_from_db()
    assert staff.is_superuser


def test_users_are_switched_off_and_never_deleted() -> None:
    root, staff = make_root(), make_staff()
    client = client_of(root)
    assert client.post(reverse("admin:accounts_user_delete", args=[staff.pk]), {"post": "yes"}).status_code == 403
    form = user_form(staff, is_staff="on")
    del form["is_active"]
    assert client.post(reverse("admin:accounts_user_change", args=[staff.pk]), form).status_code == 302
    staff.refresh_from_db()
    assert (staff.is_active, client_of(staff).get("/admin/").status_code) == (False, 302)


def test_guessing_an_operators_password_is_stopped(client: Client) -> None:
    guess = {"username": "root@jeongsan.example", "password": "wrong"}
    assert [client.post("/admin/login/", guess).status_code for _ in range(10)] == [200] * 10
    refused = client.post("/admin/login/", {**guess, "password": PASSWORD})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "900")
