"""All settings, in one file. Every environment variable is read here (or in `env`), beside its default.

Nothing has to be set: data lives under JEONGSAN_VAR (`var/`), secrets are made there on first use, PostgreSQL is the
embedded one, mail goes to files. A server sets DATABASE_URL, DJANGO_SECRET_KEY, JEONGSAN_PEPPERS, ALLOWED_HOSTS, EMAIL_*.
"""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext_lazy as _

from config import embedded, env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = env.var_dir()

# -- Core --------------------------------------------------------------------------------------------------------------
DEBUG = env.env_bool("DEBUG", default=False)
SECRET_KEY = env.env_secret("DJANGO_SECRET_KEY") or env.generated_secret("django_secret_key")
ALLOWED_HOSTS = env.env_text("ALLOWED_HOSTS", default="127.0.0.1,localhost,[::1]").split(",")
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = True

INSTALLED_APPS = [
    "accounts",
    "catalog",
    "usage",
    "billing",
    "gateway",
    "portal",
    "rest_framework",
    "drf_spectacular",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "config.api.english_for_machines",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# -- Database ----------------------------------------------------------------------------------------------------------
# DATABASE_URL: postgresql://user:password@host:port/name. Without it, the embedded server of `config.embedded`.
_database_url = env.database_url()
DATABASES = {
    "default": env.parse_database_url(_database_url) if _database_url else embedded.connection_settings(VAR_DIR)
}
DATABASES["default"].setdefault("OPTIONS", {})["application_name"] = "jeongsan"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# -- People ------------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "portal:login"
LOGIN_REDIRECT_URL = "portal:home"
LOGOUT_REDIRECT_URL = "portal:login"
SESSION_COOKIE_AGE = 12 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
# HTTPS: a server behind TLS sets it to true; cookies then never travel in the clear.
_https = env.env_bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
CSRF_TRUSTED_ORIGINS = [origin for origin in env.env_text("CSRF_TRUSTED_ORIGINS", default="").split(",") if origin]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# Keys are kept as HMAC-SHA256 under the newest pepper; older versions still verify. "1:first,2:second".
JEONGSAN_PEPPERS = env.env_secret("JEONGSAN_PEPPERS") or f"1:{env.generated_secret('api_key_pepper')}"
# Our keys at upstreams are stored encrypted under the first of these; the others still decrypt. "newest,older".
JEONGSAN_UPSTREAM_SECRETS = env.env_secret("JEONGSAN_UPSTREAM_SECRETS") or env.generated_secret("upstream_keys")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}

# -- Language and time -------------------------------------------------------------------------------------------------
LANGUAGE_CODE = "ko"
LANGUAGES = [("ko", _("Korean")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
# Instants are stored in UTC and shown in KST; the machine's own zone changes nothing.
TIME_ZONE = "Asia/Seoul"

# -- Addresses ---------------------------------------------------------------------------------------------------------
# PUBLIC_BASE_URL: what customers put before /v1, where that is another address than the site's own.
PUBLIC_BASE_URL = env.env_origin("PUBLIC_BASE_URL")

# -- Files -------------------------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# -- Mail --------------------------------------------------------------------------------------------------------------
# EMAIL_HOST: an SMTP server. Without it every mail becomes one .eml file in MAIL_DIR.
EMAIL_HOST = env.env_text("EMAIL_HOST", default="")
EMAIL_PORT = env.env_int("EMAIL_PORT", default=25)
EMAIL_HOST_USER = env.env_text("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.env_secret("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = env.env_bool("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 30
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend" if EMAIL_HOST else "config.mail.EmlFileBackend"
MAIL_DIR = Path(env.env_text("MAIL_DIR", default=str(VAR_DIR / "mail")))
DEFAULT_FROM_EMAIL = env.env_text("DEFAULT_FROM_EMAIL", default="Jeongsan <billing@jeongsan.example>")

# -- API ---------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "accounts.api.problem_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Jeongsan billing API",
    "DESCRIPTION": "Usage, invoices and quotes. Money is a string with its currency; errors are RFC 9457 problem+json.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/billing/v1",
    # Amounts and invoices have the same currencies; prices only one of them.
    "ENUM_NAME_OVERRIDES": {"AmountDocumentCurrencyEnum": ["KRW", "USD"]},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024 * 1024

# -- Catalog -----------------------------------------------------------------------------------------------------------
# CATALOG_URL: the upstream's /models address, which beat reads every hour; without it only `sync_catalog` reads listings.
CATALOG_URL = env.env_text("CATALOG_URL", default="")
# PRICE_CHANGE_APPROVAL_PERCENT: a listed price that differs by more than this waits for an operator.
PRICE_CHANGE_APPROVAL_PERCENT = env.env_int("PRICE_CHANGE_APPROVAL_PERCENT", default=50)
# DRIFT_ALERT_PERCENT: a model's charges of a day that differ from our list cost by more than this raise an alert.
DRIFT_ALERT_PERCENT = env.env_int("DRIFT_ALERT_PERCENT", default=1)
# OPERATOR_EMAIL: who is told when a sync fails, a price change waits, or a model sells below what it costs.
OPERATOR_EMAIL = env.env_text("OPERATOR_EMAIL", default="")

# -- Money's outside world ---------------------------------------------------------------------------------------------
# EXIMBANK_AUTH_KEY: the key of the Export-Import Bank's rate API; without it rates are entered by `set_rate`.
EXIMBANK_AUTH_KEY = env.env_secret("EXIMBANK_AUTH_KEY") or ""
# EXIMBANK_URL: where that API is; a test or a relay inside the house has its own.
EXIMBANK_URL = env.env_text("EXIMBANK_URL", default="https://oapi.koreaexim.go.kr/site/program/financial/exchangeJSON")
# TAX_PROVIDER: which tax-invoice provider to use. Only the embedded sandbox exists so far: nothing reaches the tax office.
TAX_PROVIDER = env.env_text("TAX_PROVIDER", default="sandbox")
# TAX_SANDBOX_BEHAVIOUR: accept, reject, timeout_after_accept or unavailable (billing/adapters/tax_sandbox.py).
TAX_SANDBOX_BEHAVIOUR = env.env_text("TAX_SANDBOX_BEHAVIOUR", default="accept")

# -- Gateway -----------------------------------------------------------------------------------------------------------
# GATEWAY_SPOOL_DIR: where gateways keep finished calls while the database is away; a disk that survives a restart.
GATEWAY_SPOOL_DIR = Path(env.env_text("GATEWAY_SPOOL_DIR", default=str(VAR_DIR / "spool")))
# GATEWAY_CALL_DAYS: how long settled calls and their attempts are kept; their events are kept for ever.
GATEWAY_CALL_DAYS = env.env_int("GATEWAY_CALL_DAYS", default=90, minimum=1)

# -- Logs --------------------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    # kombu warns of pgmq's URL without a host on every connection; the host is in the transport's options.
    "loggers": {"kombu.connection": {"level": "ERROR"}},
    "root": {"handlers": ["stderr"], "level": env.env_text("LOG_LEVEL", default="WARNING")},
}

# Loaded with the settings, so that @shared_task finds our broker in every process that knows Django.
import config.celery  # noqa: E402, F401
