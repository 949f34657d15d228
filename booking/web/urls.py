"""Every address of the portal in the order of the journey. None carries anything about a patient."""

from django.urls import path

from . import asking_views, booking_views, health_views, notice_views, photo_views, times_views, visit_views

urlpatterns = [
    path("", asking_views.start, name="start"),
    path("book/search/", asking_views.search_reasons, name="search_reasons"),
    path("book/reason/", asking_views.choose_reason, name="choose_reason"),
    path("book/screening/", asking_views.screening, name="screening"),
    path("book/urgent/", asking_views.urgent, name="urgent"),
    path("book/state/", asking_views.choose_state, name="choose_state"),
    path("book/visited/", asking_views.patient_kind, name="patient_kind"),
    path("book/specialty/", asking_views.choose_specialty, name="choose_specialty"),
    path("book/zone/", asking_views.choose_zone, name="choose_zone"),
    path("book/times/", times_views.times, name="times"),
    path("book/hold/extend/", times_views.extend_hold, name="extend_hold"),
    path("book/hold/release/", times_views.release_hold, name="release_hold"),
    path("book/hold/leave/", times_views.leave_hold, name="leave_hold"),
    path("book/hold/resume/", times_views.resume_hold, name="resume_hold"),
    path("book/contact/", booking_views.contact, name="contact"),
    path("book/code/", booking_views.code, name="code"),
    path("book/code/again/", booking_views.resend_code, name="resend_code"),
    path("book/details/", booking_views.details, name="details"),
    path("book/review/", booking_views.review, name="review"),
    path("book/ended/", times_views.session_ended, name="session_ended"),
    path("book/start-over/", asking_views.start_over, name="start_over"),
    path("clinicians/<int:pk>/photo/<str:sha>", photo_views.clinician_photo, name="clinician_photo"),
    path("visits/", visit_views.visits, name="visits"),
    path("visits/<uuid:booking_id>/", visit_views.visit, name="visit"),
    path("visits/<uuid:booking_id>/visit.ics", visit_views.visit_calendar, name="visit_calendar"),
    path("v/<str:token>/", visit_views.visit_link, name="visit_link"),
    path("ehr/notices/", notice_views.notices, name="ehr_notices"),
    path("healthz", health_views.healthz, name="healthz"),
    path("readyz", health_views.readyz, name="readyz"),
    path("metrics", health_views.metrics, name="metrics"),
    path("dev/messages/", health_views.dev_messages, name="dev_messages"),
]
